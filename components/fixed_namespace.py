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
        reason = ""
        if was and was != is_now:
            reason = (
                f'pacman:namespace is "{is_now}": must stay {was}, since to move is to delete that with its scores;'
                " make another stack, or `pulumi destroy` this one first"
            )
        elif not was and (owner := _owner_if_readable(news)):
            reason = _taken(news, owner)
        return CheckResult(news, [CheckFailure("", reason)] if reason else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        # From here on the state calls the namespace this stack's own. So it must be certain that nobody has it; Check
        # may go on without, since a preview asks it too. Some versions of the provider take over what exists.
        try:
            owner = _owner(props)
        except Exception as problem:  # whatever it is, it must be told in one line
            reason = str(problem).partition("\n")[0]
            raise RuntimeError(f"cannot read the namespaces of context {props['context']}: {reason}") from None
        if owner:
            raise RuntimeError(_taken(props, owner))
        return CreateResult("namespace", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


def _taken(wanted: dict[str, Any], owner: str) -> str:
    return (
        f'pacman:namespace is "{wanted["namespace"]}": belongs to {owner} in context {wanted["context"]};'
        " name one that does not exist, or delete that one, with everything in it"
    )


def _owner_if_readable(wanted: dict[str, Any]) -> str:
    try:
        return _owner(wanted)
    except Exception:  # whatever it is, `up` meets it next and says it
        return ""


def _owner(wanted: dict[str, Any]) -> str:
    """Who has a namespace that this stack has not made, as far as its state knows; "" where it is free.

    Raises:
        Exception: The cluster cannot be reached.
    """
    found = cluster.namespace_metadata(wanted["context"], wanted["namespace"])
    if found is None:
        return ""
    if not cluster.is_ours(found):
        return "somebody else"
    stack = (found.get("annotations") or {}).get(STACK)
    if stack == wanted["stack"]:
        # Of a colleague whose state lies elsewhere; or this one's, and its state was lost. To go on would give the
        # database new passwords, which it would not know.
        return f"a stack {stack} that has another state"
    # One without the annotation was made by this program before it wrote any.
    return f"the stack {stack}" if stack else ""


class _Namespace(Resource, module="pacman", name="Namespace"):
    """The namespace of the last `up`."""

    def __init__(self, name: str, namespace: str, context: str, opts: pulumi.ResourceOptions) -> None:
        inputs = {"namespace": namespace, "context": context, "stack": this_stack()}
        super().__init__(_NamespaceProvider(), name, inputs, opts)
