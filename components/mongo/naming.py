"""Names, labels and numbers that the parts of one database share."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.metadata import TAKE_OVER
from components.pods import Identity

PORT = 27017
REPLICA_SET = "rs0"
MOST_MEMBERS = 5
"""The most members that a set of this program has."""
UID = 999
"""User and group `mongodb` of the official image."""


@dataclass(frozen=True, slots=True)
class Names:
    """How one database and its objects are called."""

    name: str
    """The component's name, which its objects begin with."""
    namespace: pulumi.Input[str]
    """The namespace of all of them."""

    @property
    def server(self) -> Identity:
        """The members."""
        return Identity("mongo", self.name)

    @property
    def init(self) -> Identity:
        """The Job that initiates the set."""
        return Identity("mongo", self.name, role="init")

    @property
    def client_labels(self) -> dict[str, str]:
        """Labels of the pods that may reach the database."""
        return {f"{self.name}-client": "true"}

    def hosts(self, members: int) -> list[str]:
        """The DNS name of each member.

        They lack the cluster's domain, which need not be cluster.local: the resolver's search list completes them.
        """
        return [f"{self.name}-{ordinal}.{self.name}" for ordinal in range(members)]

    def claims(self, members: int) -> list[str]:
        """The claim of each member's volume, as the StatefulSet names it."""
        return [f"data-{self.name}-{ordinal}" for ordinal in range(members)]

    def metadata(
        self, suffix: str = "", identity: Identity | None = None, annotations: Mapping[str, str] | None = None
    ) -> ObjectMetaArgs:
        """The metadata of the object whose name ends in `suffix`."""
        return ObjectMetaArgs(
            name=self.name + suffix,
            namespace=self.namespace,
            labels=(identity or self.server).labels,
            annotations={**TAKE_OVER, **(annotations or {})},
        )
