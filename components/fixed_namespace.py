"""A stack stays in the namespace that it began in: to move would be to delete the old one, with every score in it.

Only the state knows where a stack is, and of the state a program sees nothing; but a resource's Check is told what its
inputs were. So this is a resource of nothing else. It is a dynamic one, which any program can have.
"""

from typing import Any

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, Resource, ResourceProvider


class FixedNamespace(pulumi.ComponentResource):
    """Refuses an `up`, and a preview, in which `namespace` is another one than that of the last `up`."""

    def __init__(self, name: str, namespace: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:FixedNamespace", name, None, opts)
        _Namespace(name, namespace, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})


class _NamespaceProvider(ResourceProvider):
    """Compares. Runs in a plugin process, found again by its module's name."""

    # It captures no secret: what lies in the state is the name of this class.
    serialize_as_secret_always = False

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        was, is_now = _olds.get("namespace"), news["namespace"]
        failures = []
        if was and was != is_now:
            reason = (
                f'pacman:namespace is "{is_now}": must stay {was}, since to move is to delete that with its scores;'
                " make another stack, or `pulumi destroy` this one first"
            )
            failures.append(CheckFailure("", reason))
        return CheckResult(news, failures)

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult("namespace", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class _Namespace(Resource, module="pacman", name="Namespace"):
    """The namespace of the last `up`."""

    def __init__(self, name: str, namespace: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(_NamespaceProvider(), name, {"namespace": namespace}, opts)
