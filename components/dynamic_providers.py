"""Dynamic providers: NamespaceProvider refuses a changed namespace or cluster; DefaultMarksProvider saves and restores
the annotation that makes a StorageClass the default.

The state stores the module and class name of each provider, and every pulumi command imports that module. If you move a
class, keep an alias at its old name. The module imports little, because each import slows every command down.
"""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ResourceProvider, UpdateResult

from components import cluster

DELETE_UNREACHABLE = "PULUMI_K8S_DELETE_UNREACHABLE"
"""Variable of the Kubernetes provider: the person says that the cluster is gone for good."""
UNKNOWN = "unknown"
"""The owner of a namespace that the program could not read."""


class _Provider(ResourceProvider):
    """A provider whose resources are updated when an input changes, or the provider itself."""

    # The state holds only the name of the provider's class, which is no secret.
    serialize_as_secret_always = False
    inputs: ClassVar[tuple[str, ...]]
    """The inputs whose change is an update."""

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compares the inputs, and the provider, so that the state gets the new name of a class that moved."""
        compared = ("__provider", *self.inputs)
        return DiffResult(changes=any(_olds.get(key) != _news.get(key) for key in compared))


class NamespaceProvider(_Provider):
    """Refuses to move a stack to another namespace or cluster, and to start in a namespace that somebody else owns.

    Only the state knows where a stack is deployed, and a program cannot read its state. But the engine passes the
    inputs of the last `up` to Check.
    """

    inputs = ("namespace", "context", "stack", "cluster", "created")

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Compares namespace and cluster with those of the last `up`. The first `up` must find the namespace free."""
        if not _olds.get("namespace"):
            owner = news["owner"]
            return CheckResult(news, [CheckFailure("", _taken(news))] if owner and owner != UNKNOWN else [])
        reason = _moved(_olds, news)
        # The namespace belongs to this stack by now. If the cluster's UID is not known, it counts as the same cluster.
        kept = {**news, "owner": "", "cluster": news["cluster"] or _olds.get("cluster", "")}
        return CheckResult(kept, [CheckFailure("", reason)] if reason else [])

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Saves namespace and cluster in the state. From then on the namespace counts as this stack's own.

        Raises:
            RuntimeError: The program could not read who owns the namespace.
        """
        if props["owner"] == UNKNOWN:
            raise RuntimeError(
                f"cannot read the namespace {props['namespace']} in context {props['context']}: whether it is free must"
                " be known before the first `pulumi up`; check your access with"
                f" `kubectl --context {props['context']} get namespace {props['namespace']}`"
            )
        return CreateResult("namespace", props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Saves the new name of the context."""
        return UpdateResult(_news)


class DefaultMarksProvider(_Provider):
    """Reads the default marks of StorageClasses on create, and restores them on delete."""

    inputs = ("classes", "context")

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Reads the marks.

        Raises:
            RuntimeError: The cluster does not answer, or refuses.
        """
        try:
            marks = cluster.take_default_marks(props["context"], props["classes"])
        except Exception as problem:  # a person must read one line, whatever the client raises
            raise RuntimeError(
                f"cannot list the StorageClasses of context {props['context']}: {cluster.reason(problem)}"
            ) from None
        return CreateResult("marks", {**props, "marks": dict(marks)})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Reads the marks of newly listed classes, before this `up` patches them.

        For the other classes it keeps the first marks, because this program has set the present ones.
        """
        fresh = self.create(_news).outs or {}
        return UpdateResult({**fresh, "marks": {**fresh["marks"], **_olds["marks"]}})

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Restores the marks.

        Raises:
            RuntimeError: The cluster does not answer or refuses, and the person has not said that it is gone.
        """
        marks: Mapping[str, str] = _props["marks"]
        try:
            cluster.restore_default_marks(_props["context"], marks)
        except Exception as problem:  # a person must read one line, whatever the client raises
            # A cluster that answers is not gone, and its mark has to be restored.
            if os.environ.get(DELETE_UNREACHABLE) == "true" and not isinstance(problem, cluster.RefusedError):
                return
            raise RuntimeError(
                f"cannot restore the default StorageClass of context {_props['context']}: {cluster.reason(problem)};"
                f" if that cluster is gone for good, {DELETE_UNREACHABLE}=true forgets it"
            ) from None


def _moved(was: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Why a stack may not go where its config says; "" if that is where it is."""
    namespace, context = (f'{_project(wanted)}:{key} is "{wanted[key]}"' for key in ("namespace", "context"))
    if was["namespace"] != wanted["namespace"]:
        return (
            f"{namespace}: must stay {was['namespace']}, since to move is to delete that with its scores;"
            " make another stack, or `pulumi destroy` this one first"
        )
    if was.get("created") is False and wanted["created"]:
        return (
            f"{_project(wanted)}:createNamespace is true: must stay false, since somebody else created"
            f" {was['namespace']}, and `pulumi destroy` would delete it with everything in it"
        )
    before, now = was.get("cluster", ""), wanted["cluster"]
    if before and now and before != now:
        return (
            f"{context}: leads to another cluster than the one that this stack was deployed to, by context"
            f" {was['context']}; name a context of that one, or, if it is gone for good,"
            " `pulumi stack rm --force --preserve-config` forgets it, and `pulumi stack init` begins anew"
        )
    if was["context"] != wanted["context"] and not (before and now):
        return (
            f"{context}: must stay {was['context']}, since it is not known whether both lead to one cluster: that takes"
            " the right to get the namespace kube-system"
        )
    return ""


def _taken(wanted: dict[str, Any]) -> str:
    return (
        f'{_project(wanted)}:namespace is "{wanted["namespace"]}": belongs to {wanted["owner"]} in context'
        f" {wanted['context']};"
        " name one that does not exist, or delete that one, with everything in it"
    )


def _project(wanted: dict[str, Any]) -> str:
    """The project, under whose name its config keys are."""
    return str(wanted["stack"]).partition("/")[0]
