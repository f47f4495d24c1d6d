"""When an object is ready, and why it is not: the rules of each kind, as functions of what the cluster says."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sandbox.plugins.kubernetes import expressions
from sandbox.plugins.kubernetes.client import ApiError, Cluster, UnreachableError
from sandbox.plugins.kubernetes.values import UNKNOWN, Object, annotation, at, name_of, namespace_of

SKIP_AWAIT: Final = "pulumi.com/skipAwait"

# A Service counts as settled when its endpoints have not changed for this long, an Ingress's as missing after that one.
_SETTLE_SECONDS: Final = 10.0
_MISSING_SECONDS: Final = 60.0
_STARTING: Final = frozenset(("ContainerCreating", "PodInitializing"))


@dataclass(frozen=True, slots=True)
class Progress:
    """What the cluster says of an object: ready, or what is still missing, or that it will never be ready."""

    ready: bool
    message: str = ""
    failed: bool = False


Rule = Callable[[Object], Progress]
"""The rule of one kind: a live object's progress. It may remember what it saw before."""


class Report(Protocol):
    """Tells the person something about the resource; a status line lasts until the next one."""

    def __call__(self, message: str, *, warning: bool = False) -> None:
        """Tells it; a warning stays."""


def deployment(live: Object) -> Progress:
    """The new pods are available, and none of an older version is left."""
    wanted = _replicas(live)
    updated, total, available = (_count(live, f"{kind}eplicas") for kind in ("updatedR", "r", "availableR"))
    if not _observed(live):
        return Progress(False, "waiting for the Deployment to be seen by its controller")
    if updated < wanted:
        return Progress(False, f"[1/2] waiting for new Pods ({updated}/{wanted} made)")
    if available < wanted:
        return Progress(False, f"[2/2] waiting for the Pods to be available ({available}/{wanted})")
    if total > updated:
        return Progress(False, f"[2/2] waiting for {total - updated} old Pods to go")
    return Progress(True, "Deployment ready")


def stateful_set(live: Object) -> Progress:
    """All pods are ready, and of the newest revision where the set itself replaces them."""
    wanted, ready = _replicas(live), _count(live, "readyReplicas")
    status = live.get("status") or {}
    if not _observed(live):
        return Progress(False, "waiting for the StatefulSet to be seen by its controller")
    if not _count(live, "replicas") == ready == wanted:
        return Progress(False, f"[1/2] waiting for Pods to be ready ({ready}/{wanted})")
    if at(live, "spec", "updateStrategy", "type") == "OnDelete":
        return Progress(True, "StatefulSet ready")
    if partition := at(live, "spec", "updateStrategy", "rollingUpdate", "partition") or 0:
        if status.get("currentRevision") == status.get("updateRevision"):
            return Progress(True, "StatefulSet ready")
        done = _count(live, "updatedReplicas") >= wanted - partition
        return Progress(done, "[2/2] waiting for the update to reach its partition")
    if _count(live, "currentReplicas") != wanted or status.get("currentRevision") != status.get("updateRevision"):
        return Progress(
            False, f"[2/2] waiting for the update to reach every Pod ({_count(live, 'updatedReplicas')}/{wanted})"
        )
    return Progress(True, "StatefulSet ready")


def daemon_set(live: Object) -> Progress:
    """Every node that should has an available pod of the newest version."""
    wanted = _count(live, "desiredNumberScheduled")
    updated, available = _count(live, "updatedNumberScheduled"), _count(live, "numberAvailable")
    done = _observed(live) and updated == wanted == available
    return Progress(done, f"waiting for Pods to be available ({min(updated, available)}/{wanted})")


def job(live: Object) -> Progress:
    """It completed; one that failed never will."""
    conditions = _conditions(live)
    if failed := conditions.get("Failed"):
        return Progress(False, f"the Job failed: {_said(failed)}", failed=True)
    if "Complete" in conditions:
        return Progress(True, "Job complete")
    return Progress(
        False, f"waiting for the Job ({_count(live, 'active')} Pods active, {_count(live, 'failed')} failed)"
    )


def pod(live: Object) -> Progress:
    """It is ready, or has done what it was there for."""
    phase = at(live, "status", "phase")
    if phase == "Succeeded" or "Ready" in _conditions(live):
        return Progress(True, "Pod ready")
    if phase == "Failed":
        return Progress(False, f"the Pod failed: {_said(live.get('status') or {})}", failed=True)
    return Progress(False, f"waiting for the Pod to be ready (now {phase or 'unknown'})")


def claim(live: Object, binding_mode: str) -> Progress:
    """It is bound, or will be when a pod uses it (`WaitForFirstConsumer`)."""
    phase = at(live, "status", "phase")
    if phase == "Bound" or (phase == "Pending" and binding_mode == "WaitForFirstConsumer"):
        return Progress(True, "PersistentVolumeClaim ready")
    if phase == "Lost":
        return Progress(False, "the claim lost its volume", failed=True)
    storage_class = at(live, "spec", "storageClassName")
    where = (
        f"a volume of class {storage_class}"
        if storage_class
        else "a volume: it names no class, and none is the default"
    )
    return Progress(False, f"waiting for {where}")


def service_pods(live: Object, endpoints: Object | None) -> Progress:
    """Every pod that the selector chooses is ready; there may be none."""
    if endpoints is None:
        return Progress(False, "[1/3] waiting for the Service's endpoints")
    waiting = sum(len(subset.get("notReadyAddresses") or []) for subset in endpoints.get("subsets") or [])
    if waiting:
        return Progress(False, f"[1/3] waiting for {waiting} Pods behind the Service to be ready")
    return _address(live) if at(live, "spec", "type") == "LoadBalancer" else Progress(True, "Service ready")


def ingress(live: Object, missing: Sequence[str]) -> Progress:
    """The services that it leads to have endpoints, and its controller has given it an address."""
    if missing:
        return Progress(False, f"[1/2] waiting for the endpoints of Service {', '.join(missing)}")
    return _address(live)


def awaits_pods(live: Object) -> bool:
    """Whether a Service waits for pods: it chooses some, and spreads over them under an address of its own."""
    spec = live.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"


def rule_for(live: Object, cluster: Cluster, report: Report, *, once: bool = False) -> Rule | None:
    """The rule for an object, None where it is ready as soon as it exists.

    Args:
        live: The object.
        cluster: Where to look for what the rule needs besides.
        report: Takes warnings.
        once: Only the state of now counts (a refresh): nothing has to settle.
    """
    if annotation(live, SKIP_AWAIT) == "true":
        return None
    if wanted := annotation(live, expressions.WAIT_FOR):
        return custom_rule(wanted)
    group_kind = str(live.get("apiVersion", "")).rpartition("/")[0] + "/" + str(live.get("kind"))
    if rule := _RULES.get(group_kind):
        return rule
    if group_kind == "/PersistentVolumeClaim" and not once:
        return lambda now: claim(now, _binding_mode(now, cluster))
    if group_kind == "/Secret" and live.get("type") == "kubernetes.io/service-account-token" and not once:
        return lambda now: Progress(bool(at(now, "data", "token")), "waiting for the token")
    if group_kind == "/Service":
        return _service_rule(live, cluster, once)
    if group_kind == "networking.k8s.io/Ingress":
        return _ingress_rule(cluster, report, once)
    return None


def custom_rule(wanted: str) -> Rule:
    """The rule that an annotation `pulumi.com/waitFor` gives.

    Raises:
        ValueError: It does not parse.
    """
    tests = expressions.parse(wanted)

    def rule(live: Object) -> Progress:
        missing = [text for text, test in tests if not test(live)]
        return Progress(not missing, f"waiting for {' and '.join(missing)}")

    return rule


def judged(rule: Rule, live: Object) -> Progress:
    """What a rule says. An object that exists must not get lost because what its rule needs besides cannot be read."""
    try:
        return rule(live)
    except (ApiError, UnreachableError) as error:
        return Progress(False, str(error))


def pod_problems(pod: Object) -> list[str]:
    """What keeps a pod from being ready: no place for it, no image, a container that ends or is not ready."""
    where = f"Pod {name_of(pod)}"
    status = pod.get("status") or {}
    if status.get("phase") == "Succeeded":
        return []
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return [f"{where}: {_said(condition)}"]
    problems = []
    containers = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
    for container in containers:
        what = f"{where}, container {container.get('name')}"
        waiting, ended = at(container, "state", "waiting"), at(container, "state", "terminated")
        last = at(container, "lastState", "terminated")
        if waiting and waiting.get("reason") not in _STARTING:
            problems.append(
                f"{what}: {_waits_for(waiting)}" + (f"; before that it ended with {_ending(last)}" if last else "")
            )
        elif ended and ended.get("exitCode"):
            problems.append(f"{what}: ended with {_ending(ended)}")
        elif last and not container.get("ready"):
            problems.append(f"{what}: started again after it ended with {_ending(last)}")
    if not problems and status.get("phase") == "Running":
        problems = [
            f"{where}, container {container.get('name')}: runs, but is not ready"
            for container in status.get("containerStatuses") or []
            if not container.get("ready")
        ]
    return problems


# --- Pieces ----------------------------------------------------------------------------------------------------------


_RULES: Final[dict[str, Rule]] = {
    "apps/DaemonSet": daemon_set,
    "apps/Deployment": deployment,
    "apps/StatefulSet": stateful_set,
    "batch/Job": job,
    "/Pod": pod,
}


def _service_rule(live: Object, cluster: Cluster, once: bool) -> Rule | None:
    if not awaits_pods(live):
        return None if at(live, "spec", "type") != "LoadBalancer" else _address
    seen: tuple[str, float] = ("", time.monotonic())

    def rule(now: Object) -> Progress:
        nonlocal seen
        endpoints = _endpoints(now, name_of(now), cluster)
        progress = service_pods(now, endpoints)
        version = str(at(endpoints or {}, "metadata", "resourceVersion"))
        if version != seen[0]:
            seen = (version, time.monotonic())
        if progress.ready and not once and time.monotonic() - seen[1] < _SETTLE_SECONDS:
            return Progress(False, "[2/3] waiting for the Service's endpoints to settle")
        return progress

    return rule


def _ingress_rule(cluster: Cluster, report: Report, once: bool) -> Rule:
    began = time.monotonic()
    warned = False

    def rule(now: Object) -> Progress:
        nonlocal warned
        missing = [name for name in _backends(now) if not _leads_somewhere(now, name, cluster)]
        if missing and (once or time.monotonic() - began > _MISSING_SECONDS):
            if not warned and not once:
                warned = True
                report(f"no Service that the Ingress leads to: {', '.join(missing)}", warning=True)
            missing = []
        return ingress(now, missing)

    return rule


def _backends(live: Object) -> list[str]:
    paths = [path for each in at(live, "spec", "rules") or [] for path in at(each, "http", "paths") or []]
    names = [at(path, "backend", "service", "name") for path in paths]
    return sorted({name for name in names if isinstance(name, str)})


def _leads_somewhere(live: Object, service: str, cluster: Cluster) -> bool:
    if _endpoints(live, service, cluster) is not None:
        return True
    found = cluster.get({"apiVersion": "v1", "kind": "Service", "metadata": _metadata(live, service)})
    return bool(at(found or {}, "spec", "type") == "ExternalName")


def _endpoints(live: Object, service: str, cluster: Cluster) -> Object | None:
    return cluster.get({"apiVersion": "v1", "kind": "Endpoints", "metadata": _metadata(live, service)})


def _metadata(live: Object, name: str) -> Object:
    return {"namespace": namespace_of(live), "name": name}


def _address(live: Object) -> Progress:
    given = bool(at(live, "status", "loadBalancer", "ingress"))
    return Progress(
        given, "ready" if given else "[2/2] waiting for an address (.status.loadBalancer); does a controller serve it?"
    )


def _binding_mode(live: Object, cluster: Cluster) -> str:
    name = at(live, "spec", "storageClassName")
    if not name:
        return ""
    found = cluster.get({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}})
    return str(at(found or {}, "volumeBindingMode") or "")


def _replicas(live: Object) -> int:
    wanted = at(live, "spec", "replicas")
    return wanted if isinstance(wanted, int) else 1


def _count(live: Object, field: str) -> int:
    value = at(live, "status", field)
    return value if isinstance(value, int) else 0


def _observed(live: Object) -> bool:
    return _count(live, "observedGeneration") >= (at(live, "metadata", "generation") or 0)


def _conditions(live: Object) -> dict[str, Object]:
    conditions = at(live, "status", "conditions") or []
    return {str(each.get("type")): each for each in conditions if each.get("status") == "True"}


def _said(said: Object) -> str:
    # On one line; its length is bounded by Kubernetes: 4 KiB for what a container left when it ended.
    text = ": ".join(str(said[key]) for key in ("reason", "message") if said.get(key))
    return re.sub(r"\s+", " ", text).strip() or "no reason given"


def _ending(ended: Object) -> str:
    return ": ".join([f"exit code {ended.get('exitCode')}", *([_said(ended)] if ended.get("reason") else [])])


def _waits_for(waiting: Object) -> str:
    # The message of a back-off only repeats the names of the container and its pod, at length.
    reason = str(waiting.get("reason"))
    return reason if reason == "CrashLoopBackOff" else _said(waiting)


def pod_selector(live: Object) -> str:
    """The label selector for the pods of a workload, empty where it has none."""
    if f"{str(live.get('apiVersion', '')).rpartition('/')[0]}/{live.get('kind')}" not in _RULES:
        return ""
    labels = at(live, "spec", "selector", "matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in labels.items() if value is not UNKNOWN)
