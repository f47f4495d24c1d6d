"""Dynamic providers.

NamespaceProvider refuses a changed namespace or cluster. DatabaseProvider refuses a change that the data of MongoDB
would not survive. VolumesProvider grows and retains its volumes. DefaultMarksProvider saves and restores the annotation
that makes a StorageClass the default.

The state stores the module and class name of each provider, and every pulumi command imports that module. If you move a
class, keep an alias at its old name. The module imports little, because each import slows every command down.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ResourceProvider, UpdateResult

from components import cluster, quantities

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
        reason = _why_not_moved(_olds, news)
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


class DatabaseProvider(_Provider):
    """Refuses a change that the data of MongoDB would not survive.

    It compares with the last `up`, which the state knows whatever the person may read in the cluster. What the program
    saw in the cluster counts only if there was no `up` yet, or only by a program without this provider.
    """

    inputs = ("members", "line", "compatibility", "storageClass", "volumeSize", "rotation", "stack")

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Compares, and keeps the featureCompatibilityVersion of the last `up` if this one sets none."""
        runs: dict[str, Any] = news.pop("runs")
        was = _olds if _olds.get("members") else runs
        asked = news["compatibility"]
        # An `up` that was interrupted may have left more members than it wanted.
        news["deployed"] = max(int(news["members"]), _deployed(was, runs)) if was else news["members"]
        if not was:
            news["compatibility"] = news["line"]
            wrong = asked not in ("", news["line"])
            return CheckResult(news, [CheckFailure("", _not_the_first(news, asked))] if wrong else [])
        news["compatibility"] = asked or was.get("compatibility") or was["line"] or news["line"]
        return CheckResult(news, [CheckFailure("", reason) for reason in _would_lose_data(was, news, asked, runs)])

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Saves what the next `up` is compared with."""
        return CreateResult("database", props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Saves what the next `up` is compared with."""
        return UpdateResult(_news)


class VolumesProvider(_Provider):
    """Grows the claims of the members to the size of the config, and marks their volumes to outlive the claims."""

    inputs = ("context", "namespace", "claims", "size", "retain")

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compares the inputs. A claim that took the place of a lost one is a change, too: it has the first size."""
        # A refresh compares the inputs of the last `up` with themselves, which an older program may have made.
        new_claims = set(_news.get("uids", ())) - set(_olds.get("uids", ()))
        return DiffResult(changes=bool(new_claims) or super().diff(_id, _olds, _news).changes)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Grows and retains.

        Raises:
            RuntimeError: The cluster refuses: the StorageClass does not allow it, or the person may not do it.
        """
        size, key = props["size"], f"{props['project']}:mongoVolumeSize"
        try:
            uids = cluster.grow_claims(props["context"], props["namespace"], props["claims"], size)
        except Exception as problem:  # a person must read one line, whatever the client raises
            raise RuntimeError(f'{key} is "{size}": cannot grow the volumes: {cluster.reason(problem)}') from None
        if props["retain"]:
            try:
                cluster.retain_volumes(props["context"], props["namespace"], props["claims"])
            except Exception as problem:  # the same
                raise RuntimeError(
                    f"{props['project']}:deletionProtection is enabled: cannot set the reclaim policy of the volumes to"
                    f" Retain: {cluster.reason(problem)}"
                ) from None
        return CreateResult("volumes", {**props, "uids": uids})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Grows and retains, also the volumes of new members."""
        return UpdateResult(self.create(_news).outs)


class DefaultMarksProvider(_Provider):
    """Saves the default marks of StorageClasses on create, also in the classes, and restores them on delete."""

    inputs = ("classes", "context")

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Reads the marks, and saves each in an annotation of its class.

        Raises:
            RuntimeError: The cluster does not answer, or refuses.
        """
        try:
            marks = cluster.save_default_marks(props["context"], props["classes"])
        except Exception as problem:  # a person must read one line, whatever the client raises
            raise RuntimeError(
                f"cannot read and save the default marks of the StorageClasses of context {props['context']}:"
                f" {cluster.reason(problem)}"
            ) from None
        return CreateResult("marks", {**props, "marks": dict(marks)})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Saves the marks of newly listed classes, before this `up` patches them.

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


def _why_not_moved(was: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Why a stack may not go where its config says; "" if that is where it is."""
    namespace, context = (f'{_project(wanted)}:{key} is "{wanted[key]}"' for key in ("namespace", "context"))
    if was["namespace"] != wanted["namespace"]:
        return (
            f"{namespace}: must stay {was['namespace']}: a stack cannot move, because Pulumi would delete the old"
            " namespace with its scores; create another stack"
        )
    if was.get("created") is False and wanted["created"]:
        return (
            f"{_project(wanted)}:createNamespace is true: must stay false, since somebody else created"
            f" {was['namespace']}, and `pulumi destroy` would delete it with everything in it"
        )
    if was.get("created") is not False and not wanted["created"]:
        # The engine deletes what the program no longer declares.
        return (
            f"{_project(wanted)}:createNamespace is false: must stay true, since this stack created {was['namespace']},"
            " and would delete it with its scores"
        )
    before, now = was.get("cluster", ""), wanted["cluster"]
    if before and now and before != now:
        return (
            f"{context}: leads to another cluster than the one that this stack was deployed to, by context"
            f" {was['context']}; name a context of that one, or, if it is gone for good,"
            " `pulumi stack rm --force --preserve-config` forgets it, and `pulumi stack init`, with the stack's"
            " --secrets-provider if it has one, begins anew"
        )
    if was["context"] != wanted["context"] and not (before and now):
        return (
            f"{context}: must stay {was['context']}, since it is not known whether both lead to one cluster: that takes"
            " the right to get the namespace kube-system"
        )
    return ""


def _not_the_first(wanted: dict[str, Any], asked: str) -> str:
    return (
        f'{_project(wanted)}:mongoFeatureCompatibility is "{asked}": must be empty or {wanted["line"]} on a new'
        " database, whose featureCompatibilityVersion is that of its image"
    )


def _would_lose_data(was: dict[str, Any], wanted: dict[str, Any], asked: str, runs: dict[str, Any]) -> Iterator[str]:
    """Why a database must not change as the config says, one line for each reason.

    Args:
        was: What the last `up` deployed.
        wanted: What this one would deploy.
        asked: The featureCompatibilityVersion of the config, "" if it sets none.
        runs: What the program saw in the cluster; empty if it saw nothing.
    """

    def line(key: str, value: object, why: str) -> str:
        return f'{_project(wanted)}:{key} is "{value}": {why}'

    members, asks = _deployed(was, runs), int(wanted["members"])
    if asks < members and not runs:
        why = f"must be {members} or more, since the StatefulSet of the database cannot be read; take the right to list"
        also = "StatefulSets, Jobs, pods and claims in the namespace, or let somebody run `pulumi up` who has it"
        yield line("mongoMembers", asks, f"{why} {also}")
    elif asks < members:
        away = [f"{wanted['database']}-{ordinal}" for ordinal in range(asks) if ordinal not in runs["ready"]]
        if len(away) * 2 >= asks:
            why = f"must be {members} until {' and '.join(away)} {'is' if len(away) == 1 else 'are'} ready, since the"
            yield line("mongoMembers", asks, f"{why} members that stay would have no majority")
    # Kubernetes changes no claim template, so the StatefulSet would go on asking for what it cannot get.
    anew = "; no member has ever had a volume: `pulumi destroy`, see docs/operations.md, and `pulumi up` begin anew"
    anew = anew if runs.get("unbound") else ""
    if wanted["storageClass"] != was["storageClass"]:
        why = f"must stay {was['storageClass']}, since volumes do not change their class; set mongoStorageClass to it"
        yield line("mongoStorageClass", wanted["storageClass"], why + anew)
    # If the cluster refused what the state has, the volumes have the old size. If somebody else has enlarged them, the
    # config may still have its own size.
    size = min((was, runs or was), key=lambda each: quantities.parse(each["volumeSize"]))["volumeSize"]
    if quantities.parse(wanted["volumeSize"]) < quantities.parse(size):
        yield line("mongoVolumeSize", wanted["volumeSize"], f"must be {size} or more: no volume shrinks{anew}")
    done, turn = int(was.get("rotation", 0)), int(wanted["rotation"])
    if turn not in (done, done + 1):
        yield line("passwordRotation", turn, f"must be {done}, or {done + 1} to change the passwords")
    elif turn > done > int(runs.get("rotated", 0)):
        why = (
            f"must stay {done}: that rotation has not finished, and the old passwords are still in use; set {done}, and"
            " run `pulumi up --refresh` until it succeeds"
        )
        yield line("passwordRotation", turn, why)
    yield from _versions(was, wanted, asked, runs, line)


def _deployed(was: dict[str, Any], runs: dict[str, Any]) -> int:
    """How many members there may be: as the cluster says, else as the last `up` knew."""
    return int(runs["members"] if runs else was.get("deployed", was["members"]))


def _versions(
    was: dict[str, Any],
    wanted: dict[str, Any],
    asked: str,
    runs: dict[str, Any],
    line: Callable[[str, object, str], str],
) -> Iterator[str]:
    """Why the database must not change its version.

    MongoDB's manual, "Upgrade a replica set": a server starts on data whose featureCompatibilityVersion is its own
    major version or the one before.
    """
    compatible = was.get("compatibility") or was["line"]
    if not compatible:  # deployed before there was a guard, from an image without a version in its tag
        return
    half_done = runs and (runs.get("restarts") or len(runs["ready"]) < int(wanted["members"]))
    if asked and _numbers(asked) < _numbers(compatible):
        why = f"must be {compatible}, or empty: MongoDB supports no way back"
        yield line("mongoFeatureCompatibility", asked, why)
    elif asked not in ("", compatible) and not asked == was["line"] == wanted["line"]:
        why = f"must stay {compatible} until MongoDB {asked} has been deployed: first `pulumi up` with that mongoImage"
        yield line("mongoFeatureCompatibility", asked, why)
    elif asked not in ("", compatible) and half_done:
        why = f"must stay {compatible} until every member is ready and runs MongoDB {asked}"
        yield line("mongoFeatureCompatibility", asked, why)
    first, last = _numbers(compatible), _numbers(wanted["line"])
    if last < first:
        why = (
            f"must be MongoDB {compatible} or newer, since the featureCompatibilityVersion of the data is {compatible}"
        )
        yield line("mongoImage", wanted["image"], why)
    elif last[0] > first[0] + 1:
        why = f"must be at most one major version after {compatible}, the featureCompatibilityVersion of the data"
        raised = (
            f"; raise that first, with mongoFeatureCompatibility {was['line']}" if was["line"] != compatible else ""
        )
        yield line("mongoImage", wanted["image"], why + raised)


def _numbers(line: str) -> tuple[int, ...]:
    return tuple(map(int, line.split(".")))


def _taken(wanted: dict[str, Any]) -> str:
    lost = "log in to the backend that has it, or " if "another state" in wanted["owner"] else ""
    return (
        f'{_project(wanted)}:namespace is "{wanted["namespace"]}": belongs to {wanted["owner"]} in context'
        f" {wanted['context']}; {lost}set another namespace"
    )


def _project(wanted: dict[str, Any]) -> str:
    """The project, under whose name its config keys are."""
    return str(wanted["stack"]).partition("/")[0]
