"""Keeps a stack in the cluster and the namespace of its first `up`.

A move would delete the old namespace with its scores, or leave it behind without a state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from components.dynamic_providers import UNKNOWN, NamespaceProvider
from components.metadata import STACK, is_ours, this_stack

# Stacks from before November 2026 have this name in their state.
_NamespaceProvider = NamespaceProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedNamespaceArgs:
    """Arguments of FixedNamespace."""

    namespace: str
    """The namespace."""
    context: str
    """The kubeconfig context of the cluster."""
    cluster: str
    """The UID of the namespace kube-system, which identifies a cluster whatever its context is called; "" if RBAC
    denies the read."""
    owner: str
    """Who owns the namespace: what `namespace_owner` returns."""
    created: bool = True
    """Whether this stack creates the namespace, and deletes it on destroy."""


def namespace_owner(metadata: Mapping[str, Any] | None) -> str:
    """Says who owns a namespace that is not in this stack's state.

    Args:
        metadata: The namespace's metadata; empty if there is no such namespace, None if that is not known.

    Returns:
        "" if nobody owns it, `unknown`, or words for an error message.
    """
    if metadata is None:
        return UNKNOWN
    if not metadata:
        return ""
    if not is_ours(metadata):
        return "somebody else"
    stack = (metadata.get("annotations") or {}).get(STACK)
    if stack == this_stack():
        # A colleague keeps the state elsewhere, or this stack has lost its state. Without this refusal, the program
        # would create new passwords, which the database does not have.
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
