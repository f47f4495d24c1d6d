"""Waiting until an object is ready or gone, and saying meanwhile why it is not.

A Waiter asks again and again. It asks rather than watches: a question takes a millisecond or two here, and a wait that
only sleeps on one event can be ended by it at once.
"""

import re
import threading
import time
from collections.abc import Sequence
from typing import Final

from sandbox.plugins.kubernetes.client import ApiError, Cluster, UnreachableError
from sandbox.plugins.kubernetes.rules import (
    SKIP_AWAIT,
    Progress,
    Report,
    judged,
    pod_problems,
    pod_selector,
    rule_for,
)
from sandbox.plugins.kubernetes.values import Object, annotation, at, name_of, namespace_of, words

TIMEOUT_SECONDS: Final = "pulumi.com/timeoutSeconds"
DELETION_PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"

_ASK_SECONDS: Final = 0.25
_ASK_FOR_PODS_SECONDS: Final = 2.0
# Most objects are gone sooner than a person could read why they are not.
_QUIET_SECONDS: Final = 1.0
_DEFAULT_SECONDS: Final = 600.0
_CLAIM_SECONDS: Final = 300.0
_TOKEN_SECONDS: Final = 5.0
# A line of progress stands behind the resource's name, so it should fit what a wide terminal has left.
_LINE_CHARACTERS: Final = 160
# Kinds whose deletion is not waited for either, where skipAwait is set.
_SKIP_DELETE: Final = frozenset(words("Namespace Pod ReplicationController DaemonSet Deployment StatefulSet Job"))


class NotReadyError(Exception):
    """The object exists but did not become ready (or is not gone): the reasons, the main one first."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = list(reasons)
        super().__init__(self.reasons[0])


class Waiter:
    """Waits, for one resource, until its object is ready or gone."""

    def __init__(self, cluster: Cluster, cancelled: threading.Event, report: Report) -> None:
        self._cluster = cluster
        self._cancelled = cancelled
        self._report = report
        self._told = ""

    def until_ready(self, live: Object, inputs: Object, timeout: float) -> Object:
        """Waits until an object that was just made or changed is ready.

        Args:
            live: The object as the server returned it.
            inputs: What it was made from.
            timeout: The resource's own timeout, 0 where it has none.

        Returns:
            The object as it is then.

        Raises:
            NotReadyError: The time is up, it can never be ready, or the wait was cancelled.
        """
        rule = rule_for(live, self._cluster, self._report)
        if rule is None:
            return live
        limit = timeout or _annotated_seconds(inputs) or _default_seconds(live)
        end = time.monotonic() + limit
        next_pods, problems = time.monotonic() + _ASK_FOR_PODS_SECONDS, list[str]()
        while True:
            progress = judged(rule, live)
            if progress.ready:
                self._clear("ready")
                return live
            now = time.monotonic()
            if progress.failed or now >= next_pods or now >= end:
                next_pods = now + _ASK_FOR_PODS_SECONDS
                problems = self.problems(live) or (problems if live.get("kind") == "Job" else [])
            if progress.failed:
                raise NotReadyError([progress.message, *problems])
            if now >= end:
                raise NotReadyError([f"not ready after {limit:g} s: {progress.message}", *problems])
            self._tell("; ".join([progress.message, *problems[:1]]))
            if self._cancelled.wait(min(_ASK_SECONDS, end - now)):
                raise NotReadyError([f"cancelled while it was not ready: {progress.message}", *problems])
            try:
                now_live = self._cluster.get(live)
            except (ApiError, UnreachableError) as error:  # may pass: the time limit holds
                self._tell(str(error))
                continue
            if now_live is None:
                raise NotReadyError(["it was deleted by somebody else while it was being waited for"])
            live = now_live

    def state_of(self, live: Object) -> Progress:
        """Whether an object is ready now."""
        rule = rule_for(live, self._cluster, self._report, once=True)
        return judged(rule, live) if rule else Progress(True)

    def until_gone(self, obj: Object, uid: str, inputs: Object, timeout: float) -> None:
        """Waits until a deleted object is gone, or another one has its name.

        Raises:
            NotReadyError: The time is up or the wait was cancelled.
        """
        if annotation(inputs, SKIP_AWAIT) == "true" and obj.get("kind") in _SKIP_DELETE:
            return
        limit = timeout or _annotated_seconds(inputs) or _DEFAULT_SECONDS
        began = time.monotonic()
        end = began + limit
        remains = "it still exists"
        while True:
            try:
                live = self._cluster.get(obj)
                if live is None or (uid and at(live, "metadata", "uid") != uid):
                    self._clear()
                    return
                remains = _remains(live)
            except (ApiError, UnreachableError) as error:  # may pass: the time limit holds
                remains = str(error)
            now = time.monotonic()
            if now >= end:
                raise NotReadyError([f"not gone after {limit:g} s: {remains}"])
            if now > began + _QUIET_SECONDS:
                self._tell(f"waiting for the deletion: {remains}")
            pause = _ASK_SECONDS if now > began + _ASK_SECONDS else _ASK_SECONDS / 5
            if self._cancelled.wait(min(pause, end - now)):
                raise NotReadyError([f"cancelled while it was being deleted: {remains}"])

    def pause(self, seconds: float) -> bool:
        """Waits a while, and returns whether the wait was cancelled."""
        return self._cancelled.wait(seconds)

    def problems(self, live: Object) -> list[str]:
        """What the pods of a workload suffer from."""
        selector = pod_selector(live)
        try:
            pods = self._cluster.find("v1", "Pod", namespace_of(live), selector) if selector else []
            pods = [live] if live.get("kind") == "Pod" else pods
            found = [problem for each in pods for problem in pod_problems(each) or self._unbound_claims(each)]
        except (ApiError, UnreachableError):
            return []  # a person may be allowed to make a Deployment and not to list pods
        return list(dict.fromkeys(found))

    def _unbound_claims(self, pod: Object) -> list[str]:
        """The volumes that a pod waits for: while one is being made, the pod itself says nothing."""
        if at(pod, "status", "phase") != "Pending":
            return []
        volumes = at(pod, "spec", "volumes") or []
        names = [name for each in volumes if (name := at(each, "persistentVolumeClaim", "claimName"))]
        found = []
        for name in names:
            metadata = {"namespace": namespace_of(pod), "name": name}
            claimed = self._cluster.get({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata})
            phase = at(claimed or {}, "status", "phase") or "missing"
            if phase != "Bound":
                of_class = at(claimed or {}, "spec", "storageClassName") or "no class"
                found.append(f"Pod {name_of(pod)}: waits for PersistentVolumeClaim {name} ({of_class}), now {phase}")
        return found

    def _clear(self, last: str = "") -> None:
        """Takes the last line of progress away: it would go on standing behind the finished resource."""
        if self._told:
            self._tell(last)

    def _tell(self, message: str) -> None:
        line = progress_line(message)
        if line != self._told:
            self._told = line
            self._report(line)


def progress_line(message: str) -> str:
    """A message as a line of progress; a long one loses its middle: it begins with what waits, and ends with why."""
    flat = re.sub(r"\s+", " ", message).strip()
    if len(flat) <= _LINE_CHARACTERS:
        return flat
    end = _LINE_CHARACTERS // 3
    return f"{flat[: _LINE_CHARACTERS - end - 3].rstrip()} … {flat[-end:].lstrip()}"


def _annotated_seconds(inputs: Object) -> float:
    text = annotation(inputs, TIMEOUT_SECONDS)
    try:
        return max(float(text), 0.0)
    except ValueError:
        return 0.0


def _default_seconds(live: Object) -> float:
    return {"PersistentVolumeClaim": _CLAIM_SECONDS, "Secret": _TOKEN_SECONDS}.get(
        str(live.get("kind")), _DEFAULT_SECONDS
    )


def _remains(live: Object) -> str:
    """Why an object that is being deleted is still there."""
    for condition in at(live, "status", "conditions") or []:
        remaining = condition.get("type") in ("NamespaceContentRemaining", "NamespaceFinalizersRemaining")
        if remaining and condition.get("status") == "True":
            return str(condition.get("message"))
    finalizers = at(live, "metadata", "finalizers") or []
    return f"finalizers {', '.join(finalizers)}" if finalizers else "it still exists"
