"""A namespace with Pod Security `restricted`, where a NetworkPolicy must allow each kind of incoming traffic."""

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicy, NetworkPolicySpecArgs

from components.metadata import OURS, STACK, TAKE_OVER, this_stack
from components.pods import RESTRICTED


class RestrictedNamespace(pulumi.ComponentResource):
    """The namespace `name`, under Pod Security `restricted`, closed to incoming traffic by default.

    Deleting it deletes everything in it, volumes and scores too. With `protect`, the engine refuses that.
    """

    namespace: pulumi.Output[str]
    """The namespace's name, known once it exists."""

    def __init__(self, name: str, *, protect: bool = False, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:RestrictedNamespace", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = Namespace(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                labels={**OURS, **RESTRICTED},
                # FixedNamespace reads the owner from it. No label: a stack's name may be too long for one.
                annotations={STACK: this_stack(), **TAKE_OVER},
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(protect=protect or None)),
        )
        self.namespace = namespace.metadata.name

        NetworkPolicy(
            f"{name}-default-deny",
            metadata=ObjectMetaArgs(name="default-deny", namespace=self.namespace, labels=OURS, annotations=TAKE_OVER),
            spec=NetworkPolicySpecArgs(pod_selector=LabelSelectorArgs(), policy_types=["Ingress"]),
            opts=child,
        )
        self.register_outputs({"namespace": self.namespace})
