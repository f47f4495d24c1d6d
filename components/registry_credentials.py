"""Credentials of a private registry, created before the first pod that needs them."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.metadata import OURS, TAKE_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCredentialsArgs:
    """Arguments of RegistryCredentials."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    docker_config: pulumi.Input[str]
    """The text of a Docker config.json with `auths`; kept as a secret."""


class RegistryCredentials(pulumi.ComponentResource):
    """A Secret named `name` by which the kubelet pulls images."""

    secret: pulumi.Output[str]
    """Name of the Secret, known once it exists."""

    def __init__(self, name: str, args: RegistryCredentialsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:RegistryCredentials", name, None, opts)
        secret = Secret(
            name,
            metadata=ObjectMetaArgs(name=name, namespace=args.namespace, labels=OURS, annotations=TAKE_OVER),
            type="kubernetes.io/dockerconfigjson",
            string_data={".dockerconfigjson": pulumi.Output.secret(args.docker_config)},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.secret = secret.metadata.name
        self.register_outputs({"secret": self.secret})
