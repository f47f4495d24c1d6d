"""A stack stays in the cluster and the namespace that it began in.

To move would be to delete the old namespace, with every score in it, or to leave it behind and forget it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import UNKNOWN, NamespaceProvider
from components.metadata import STACK, is_ours, this_stack

# The name under which stacks of before November 2026 have their provider in the state.
_NamespaceProvider = NamespaceProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedNamespaceArgs:
    """Where a stack is to be, and what was found there."""

    namespace: str
    """The namespace."""
    context: str
    """The kubeconfig context of the cluster."""
    cluster: str
    """The UID of the cluster's namespace kube-system, by which a cluster is known whatever its context is called; "" if
    it may not be read."""
    owner: str
    """Who has the namespace, as `namespace_owner` says it."""
    created: bool = True
    """Whether this stack creates the namespace, and deletes it in the end."""


def namespace_owner(metadata: Mapping[str, Any] | None) -> str:
    """Who has a namespace that this stack has not created, as far as its state knows.

    Args:
        metadata: The namespace's metadata; empty where there is no such namespace, None where that is not known.

    Returns:
        "" where nobody has it, `unknown`, or words for an error message.
    """
    if metadata is None:
        return UNKNOWN
    if not metadata:
        return ""
    if not is_ours(metadata):
        return "somebody else"
    stack = (metadata.get("annotations") or {}).get(STACK)
    if stack == this_stack():
        # Of a colleague whose state lies elsewhere; or this one's, and its state was lost. To go on would give the
        # database new passwords, which it would not know.
        return f"a stack {stack} that has another state"
    # One without the annotation was created by this program before it wrote any.
    return f"the stack {stack}" if stack else ""


class FixedNamespace(pulumi.ComponentResource):
    """Refuses an `up`, and a preview, that would move the stack to another namespace or another cluster.

    In the first one, it refuses a namespace that somebody else has.
    """

    def __init__(self, name: str, args: FixedNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:FixedNamespace", name, None, opts)
        _Namespace(name, args, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


class _Namespace(Resource, module="pacman", name="Namespace"):
    """The place of the last `up`."""

    def __init__(self, name: str, args: FixedNamespaceArgs, opts: pulumi.ResourceOptions) -> None:
        inputs = {
            "namespace": args.namespace,
            "context": args.context,
            "cluster": args.cluster,
            "owner": args.owner,
            "created": args.created,
            "stack": this_stack(),
        }
        super().__init__(NamespaceProvider(), name, inputs, opts)
