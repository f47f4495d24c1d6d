"""The component: a replica set, its users, and the policy of who may reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.apps.v1 import (
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicyArgs,
    StatefulSetSpecArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from components.metadata import MEMBERS
from components.mongo.claims import claim_template
from components.mongo.credentials import declare_credentials
from components.mongo.init_job import declare_init_job
from components.mongo.naming import PORT, REPLICA_SET, Names
from components.mongo.network import declare_network
from components.mongo.pod import member_pod
from components.pods import Placement, Resources

RESOURCES = Resources(cpu=("100m",), memory=("512Mi", "1Gi"), disk=("64Mi", "1Gi"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoStatefulSetArgs:
    """Arguments of MongoStatefulSet."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    image: str
    """An image with the contract of the official `mongo` image, 6.0 or newer."""
    members: int
    """Members of the replica set: 1, 3 or 5."""
    volume_size: str
    """Size of each member's volume, a quantity of 1Gi or more; only a new volume takes it."""
    storage_class: str
    """Class of the volumes."""
    database: str
    """The database of the application; its user lives there and can read and write there only."""
    indexes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Collection to the key of an index that the application's queries need: fields, each with 1 or -1."""
    one_per_node: bool = False
    """Never two members on one node: a member without a node of its own stays pending."""
    resources: Resources = RESOURCES
    """What each member requests and may use; the cache follows from the memory limit."""
    placement: Placement = field(default_factory=Placement)
    """Where the pods may run, and how their images are pulled."""


class MongoStatefulSet(pulumi.ComponentResource):
    """A MongoDB replica set named `name`, with a headless Service, its users, and a policy of who may reach it.

    The component is complete when the set has a primary and the application's user exists. A pod that wants to reach
    it carries `client_labels` and reads user and password from the Secret `app_secret`.
    """

    app_secret: pulumi.Output[str]
    """Name of the Secret with the application's `username` and `password`."""
    hosts: list[str]
    """DNS name of each member, without the port, known before the members run."""
    database: str
    """The application's database."""
    storage_class: pulumi.Output[str]
    """The class that the volumes have: it does not change once they exist."""
    client_labels: dict[str, str]
    """Labels of the pods that may reach the database."""
    uri: pulumi.Output[str]
    """Connection string of the application's user, a secret; it resolves inside the cluster."""

    def __init__(self, name: str, args: MongoStatefulSetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.members not in (1, 3, 5):
            raise ValueError(
                f"{name}: members is {args.members}: must be 1, 3 or 5, so that a majority is well defined"
            )
        super().__init__("pacman:index:MongoStatefulSet", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        names = Names(name, args.namespace)

        credentials = declare_credentials(names, app_user=args.database, opts=child)
        service = declare_network(names, child)
        stateful_set = self._declare_stateful_set(names, args, service, credentials.root_secret)
        declare_init_job(
            names,
            args.image,
            args.members,
            args.database,
            args.indexes,
            credentials,
            resources=args.resources,
            placement=args.placement,
            opts=child,
        )

        self.database = args.database
        self.client_labels = names.client_labels
        self.app_secret = credentials.app_secret
        self.hosts = names.hosts(args.members)
        self.storage_class = stateful_set.spec.apply(_class_of_claims)
        members = pulumi.Output.from_input(args.namespace).apply(
            lambda namespace: ",".join(f"{host}.{namespace}.svc:{PORT}" for host in self.hosts)
        )
        self.uri = pulumi.Output.format(
            "mongodb://{0}:{1}@{2}/{0}?replicaSet={3}", args.database, credentials.app_password, members, REPLICA_SET
        )
        self.register_outputs({"uri": self.uri, "appSecret": self.app_secret})

    def _declare_stateful_set(
        self, names: Names, args: MongoStatefulSetArgs, service: pulumi.Input[str], root_secret: pulumi.Input[str]
    ) -> StatefulSet:
        return StatefulSet(
            names.name,
            # `kubectl scale` changes the replicas, but not this number, which the init Job has brought into the set.
            metadata=names.metadata(annotations={MEMBERS: str(args.members)}),
            spec=StatefulSetSpecArgs(
                replicas=args.members,
                service_name=service,
                selector=LabelSelectorArgs(match_labels=names.server.selector),
                # After a power cut the members need each other to elect: they may all start at once.
                pod_management_policy="Parallel",
                # A claim survives its pod and the StatefulSet. Only deleting the namespace deletes it.
                persistent_volume_claim_retention_policy=StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                    when_deleted="Retain", when_scaled="Retain"
                ),
                template=member_pod(
                    names,
                    args.image,
                    root_secret,
                    volume_size=args.volume_size,
                    resources=args.resources,
                    placement=args.placement,
                    one_per_node=args.one_per_node,
                ),
                volume_claim_templates=[claim_template(names, args.storage_class, args.volume_size)],
            ),
            # A claim template cannot change in place, and replacing the StatefulSet takes the database away: a new size
            # is for new stacks, and an existing volume is grown by hand (docs/operations.md, "A larger volume").
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["spec.volumeClaimTemplates"]),
        )


def _class_of_claims(spec: Any) -> str:  # noqa: ANN401 - an SDK output, all of whose fields may be None
    return str(spec.volume_claim_templates[0].spec.storage_class_name)
