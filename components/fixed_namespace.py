"""A stack stays in the namespace that it began in: to move would be to delete the old one, with every score in it.

Only the state knows where a stack is, and of the state a program sees nothing; but a resource's Check is told what its
inputs were. So this is a resource of nothing else. It is a dynamic one, which any program can have.
"""

from typing import Any

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, Resource, ResourceProvider

import cluster
from components.restricted_namespace import STACK, this_stack


class FixedNamespace(pulumi.ComponentResource):
    """Refuses an `up`, and a preview, in which `namespace` is another one than that of the last `up`.

    Or, in the first one, a namespace that somebody else has, as far as the cluster of `context` can be read.
    """

    def __init__(self, name: str, namespace: str, context: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:FixedNamespace", name, None, opts)
        _Namespace(name, namespace, context, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


class _NamespaceProvider(ResourceProvider):
    """Compares. Runs in a plugin process, found again by its module's name."""

    # It captures no secret: what lies in the state is the name of this class.
    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        was, is_now = _olds.get("namespace"), news["namespace"]
        said = f'pacman:namespace is "{is_now}"'
        reason = ""
        if was and was != is_now:
            reason = (
                f"{said}: must stay {was}, since to move is to delete that with its scores;"
                " make another stack, or `pulumi destroy` this one first"
            )
        elif not was and (owner := _somebody_else(news)):
            reason = (
                f"{said}: belongs to {owner} in context {news['context']}; name one that does not exist, or delete"
                " that one, with everything in it"
            )
        return CheckResult(news, [CheckFailure("", reason)] if reason else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult("namespace", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


def _somebody_else(wanted: dict[str, Any]) -> str:
    """Who has a namespace already, "" where it is free, or may be the stack's own."""
    try:
        found = cluster.namespace_metadata(wanted["context"], wanted["namespace"])
    except Exception:  # whatever it is, the provider meets it next and says it better
        return ""
    if found is None:
        return ""
    if not cluster.is_ours(found):
        return "somebody else"
    # The state of this stack may have been lost, and not its namespace.
    stack = (found.get("annotations") or {}).get(STACK)
    return "" if stack in (None, wanted["stack"]) else f"the stack {stack}"


class _Namespace(Resource, module="pacman", name="Namespace"):
    """The namespace of the last `up`."""

    def __init__(self, name: str, namespace: str, context: str, opts: pulumi.ResourceOptions) -> None:
        inputs = {"namespace": namespace, "context": context, "stack": this_stack()}
        super().__init__(_NamespaceProvider(), name, inputs, opts)
