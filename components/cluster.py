"""A small client that reads what the cluster has: classes, nodes, namespaces, issuers, Ingresses.

It uses the person's own kubeconfig and rights. If RBAC denies one read, the others still work. It writes three things:
the annotations that mark a default StorageClass (`save_default_marks`, `restore_default_marks`), the size that a claim
asks for (`grow_claims`), and the reclaim policy of volumes (`retain_volumes`).

The requests are plain JSON. With the typed classes of `kubernetes.client`, these ten reads cost every preview and every
`up` 0.8 s of CPU more, because each class is imported at its first use (0.36 s and 1.2 s, median of five).
"""

import json
import logging
import os
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components import quantities
from components.metadata import MEMBERS, ROTATION, STACK, is_ours

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
"""Annotation of the cluster's default StorageClass."""
DEFAULT_BEFORE = "pacman/default-before"
"""Annotation of a StorageClass: the value that DEFAULT_CLASS had before a stack of this program changed it."""
SECONDS = 5
"""Timeout of one request."""
# A StatefulSet creates its claims within a second or so. A claim that came this many seconds later is another one.
_NEW_AFTER = 30
# A cluster that adds nodes on demand needs a few minutes for one.
_NEW_NODE_SECONDS = 300
# As long as the provider waits for a StatefulSet, whose pods bring the claims their volumes.
_BOUND_SECONDS = 600
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_INGRESS_CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
_NODES = "/api/v1/nodes"
_ISSUERS = "/apis/cert-manager.io/v1/clusterissuers"
_SNAPSHOT_CLASSES = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses"
_NAMESPACES = "/api/v1/namespaces"
# What `kubectl get` shows: of Secrets, nothing else may leave the cluster. Their metadata would be too much already, in
# which `kubectl apply` keeps all of an object.
_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


class UnknownContextError(LookupError):
    """There is a kubeconfig, and it has no such context."""


class NoAnswerError(ConnectionError):
    """Nobody listens at the address that the kubeconfig has for a context."""


class MissingPackageError(ImportError):
    """A kubeconfig asks for something that needs a Python package which is not installed."""


class RefusedError(RuntimeError):
    """The API answered, and not with what was asked for."""

    def __init__(self, status: int, text: str, why: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.why = why
        """The API's own words, "" if it had none."""


@dataclass(frozen=True, slots=True)
class IngressClass:
    """Who an IngressClass belongs to."""

    controller: str
    """Its `spec.controller`, such as `k8s.io/ingress-nginx` or `nginx.org/ingress-controller`."""
    release: str = ""
    """The Helm release that created it, `namespace/name`; "" if none did."""


@dataclass(frozen=True, slots=True)
class TakenHost:
    """A host name that an Ingress serves."""

    ingress: str
    """The Ingress, `namespace/name`."""
    ingress_class: str
    """Its class; "" where it names none."""
    host: str
    """The host name, "" for every name."""
    paths: frozenset[str]
    """The paths that it serves there."""
    stack: str = ""
    """Project and stack that created the Ingress; "" where that was not this program."""


@dataclass(frozen=True, slots=True)
class RunningMongo:
    """What a StatefulSet of MongoDB declares."""

    members: int
    """As this program last deployed it, even if somebody has scaled it since."""
    storage_class: str
    volume_size: str
    """The largest size that a member's claim asks for."""
    image: str
    """The image in its pod template."""
    ready: frozenset[int] = frozenset()
    """The ordinals of the members that are ready now: primary or secondary."""
    stuck: frozenset[int] = frozenset()
    """The ordinals of the members whose pod cannot start: it has no place, or its container waits for a reason."""
    restarts: bool = False
    """Whether some members run an older pod template."""
    rotated: int = 0
    """The last rotation of the passwords that has ended; 0 while members restart."""
    claims: frozenset[str] = frozenset()
    """The UIDs of the members' claims that have a volume."""
    new_claim: str = ""
    """The UID of the first member's claim if no member has its first claim any more."""
    first_volume_size: str = ""
    """The size with which the StatefulSet creates claims: that of the first `pulumi up`."""
    empty: bool = False
    """Whether nobody has initiated a replica set in these new claims yet."""
    unbound: bool = False
    """Whether every member still waits for its first volume."""


@dataclass(frozen=True, slots=True)
class Node:
    """What decides whether a pod may run on a node."""

    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    """Those that a pod has to tolerate, without those by which Kubernetes says how the node is at the moment."""

    def takes(self, selector: Mapping[str, str], tolerations: Sequence[Mapping[str, Any]]) -> bool:
        """Whether it takes a pod with this node selector and these tolerations, when it is well."""
        tolerated = all(any(_tolerates(each, taint) for each in tolerations) for taint in self.taints)
        return tolerated and selector.items() <= self.labels.items()


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the cluster has. None: RBAC denies the read."""

    storage_classes: Mapping[str, str | None] | None = None
    """StorageClass to the value of its default-class annotation, None where it has none."""
    ingress_classes: Mapping[str, IngressClass] | None = None
    """IngressClass to whose it is."""
    hosts: tuple[TakenHost, ...] | None = None
    """What the Ingresses of all namespaces serve."""
    nodes: tuple[Node, ...] | None = None
    """The nodes that run Linux."""
    issuers: frozenset[str] | None = None
    """The ClusterIssuers of cert-manager; empty where it is not installed."""
    snapshot_classes: frozenset[str] | None = None
    """The VolumeSnapshotClasses; empty where the cluster does not know snapshots."""
    mongo: RunningMongo | None = None
    """The database in the stack's namespace; None also where this program made none."""
    secrets: frozenset[str] | None = None
    """The names of the Secrets there."""
    namespace: Mapping[str, Any] | None = None
    """The metadata of the stack's namespace; empty where there is none."""
    identity: str = ""
    """The UID of the namespace kube-system, which identifies a cluster; "" if RBAC denies the read."""


def read(context: str, namespace: str, database: str = "mongo") -> Cluster | None:
    """Reads what the cluster of a context has; None if it does not answer as a cluster does.

    Args:
        context: The kubeconfig context.
        namespace: The stack's namespace, to read what already runs there.
        database: The name of the MongoStatefulSet.

    Raises:
        UnknownContextError: There is a kubeconfig, and it has no such context.
        NoAnswerError: Nobody listens at the cluster's address. A cluster that is only slow gives None.
        MissingPackageError: The kubeconfig asks for something that needs a Python package which is not installed.
    """
    try:
        with _connected(context) as api:
            storage, ingress = (_list_if_allowed(api, path) for path in (_STORAGE_CLASSES, _INGRESS_CLASSES))
            ingresses = _list_if_allowed(api, "/apis/networking.k8s.io/v1/ingresses")
            nodes, issuers, snapshots = (_list_if_allowed(api, path) for path in (_NODES, _ISSUERS, _SNAPSHOT_CLASSES))
            return Cluster(
                storage_classes=None if storage is None else _marks(storage),
                ingress_classes=None if ingress is None else {_name(item): _ingress_class(item) for item in ingress},
                hosts=None if ingresses is None else tuple(host for item in ingresses for host in _hosts(item)),
                nodes=None if nodes is None else tuple(_node(node) for node in nodes if _runs_linux(node)),
                issuers=None if issuers is None else frozenset(map(_name, issuers)),
                snapshot_classes=None if snapshots is None else frozenset(map(_name, snapshots)),
                mongo=_mongo(api, namespace, database),
                secrets=_secrets(api, namespace),
                namespace=_namespace_metadata(api, namespace),
                identity=(_namespace_metadata(api, "kube-system") or {}).get("uid", ""),
            )
    except (NoAnswerError, MissingPackageError):
        raise
    except Exception as problem:  # best effort: the provider will report the real error
        logging.getLogger(__name__).debug("cannot read the cluster: %s", reason(problem))
        if (contexts := _contexts()) and context not in contexts:
            raise UnknownContextError(context) from None
        return None


def reason(problem: BaseException) -> str:
    """Why a request failed, in one line."""
    if isinstance(problem, RefusedError) and problem.why:
        return problem.why
    # The client's own error for a connection that failed begins with "(0)", and has the reason in its next lines.
    lines = [line.strip() for line in str(getattr(problem, "reason", None) or problem).splitlines() if line.strip()]
    wanted = lines[:2] if str(problem).startswith("(0)") else lines[:1]
    return ": ".join(wanted) or type(problem).__name__


def wait_for_ingress_address(context: str, namespace: str, name: str, seconds: float) -> tuple[str, str]:
    """Waits until a controller publishes an address or a host name for an Ingress, and returns both.

    What it does not publish in that time is "". It may publish either on any cloud.

    Raises:
        Exception: The cluster cannot be reached or refuses.
    """
    end = time.monotonic() + seconds
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{name}"
    with _connected(context) as api:
        while True:
            status = _request(api, "GET", path, {"Accept": "application/json"}).get("status") or {}
            for entry in (status.get("loadBalancer") or {}).get("ingress") or []:
                if entry.get("ip") or entry.get("hostname"):
                    return entry.get("ip", ""), entry.get("hostname", "")
            if time.monotonic() > end:
                return "", ""
            time.sleep(0.2)


def save_default_marks(context: str, names: Iterable[str]) -> Mapping[str, str]:
    """Returns the value of is-default-class that each class had before any stack changed it; "" for none.

    It writes that value into the annotation pacman/default-before of the class. A second stack then reads the original
    value there, instead of the value that the first stack has set.

    Raises:
        Exception: The cluster cannot be reached or refuses.
    """
    with _connected(context) as api:
        now = {_name(item): _annotations(item) for item in _list(api, _STORAGE_CLASSES)}
        marks = {}
        for name in names:
            there = now.get(name, {})
            marks[name] = there.get(DEFAULT_BEFORE, there.get(DEFAULT_CLASS, ""))
            if name in now and DEFAULT_BEFORE not in there:
                _annotate(api, name, {DEFAULT_BEFORE: marks[name]})
    return marks


def restore_default_marks(context: str, marks: Mapping[str, str]) -> None:
    """Sets is-default-class of StorageClasses back to what it was, and removes pacman/default-before.

    If a class has is-default-class now, it keeps that value, because a person or another stack has set it. The other
    stack restores it later. Classes that no longer exist are skipped.

    Args:
        context: The kubeconfig context.
        marks: StorageClass to the value of its annotation, "" where it had none.

    Raises:
        Exception: The cluster cannot be reached or refuses; nothing is lost, and the same call can be made again.
    """
    with _connected(context) as api:
        now = {_name(item): item for item in _list(api, _STORAGE_CLASSES)}
        for name in marks.keys() & now.keys():
            there = _annotations(now[name])
            if DEFAULT_CLASS in there and _is_set_by_a_stack(now[name]):
                continue
            changes: dict[str, str | None] = {}
            if marks[name] and DEFAULT_CLASS not in there:
                changes[DEFAULT_CLASS] = marks[name]
            if DEFAULT_BEFORE in there:
                changes[DEFAULT_BEFORE] = None
            if changes:
                _annotate(api, name, changes)


def grow_claims(context: str, namespace: str, names: Iterable[str], size: str) -> list[str]:
    """Asks for larger volumes, where a claim asks for less than `size`. It does not wait for the driver.

    Returns:
        The UIDs of the claims, but for those that have no volume after ten minutes, whose size is fixed until then.

    Raises:
        Exception: The cluster cannot be reached, or refuses, such as for a StorageClass without allowVolumeExpansion.
    """
    with _connected(context) as api:
        bound = list(_bound_claims(api, namespace, names, _BOUND_SECONDS))
        for path, claim in bound:
            asked = claim["spec"]["resources"]["requests"]["storage"]
            if quantities.parse(asked) < quantities.parse(size):
                _patch(api, path, {"spec": {"resources": {"requests": {"storage": size}}}})
        return [claim["metadata"]["uid"] for _, claim in bound]


def retain_volumes(context: str, namespace: str, names: Iterable[str]) -> None:
    """Sets the reclaim policy of the volumes of claims to Retain: the disk then outlives the claim and the namespace.

    It passes over claims that have no volume: `grow_claims` has waited for those.

    Raises:
        Exception: The cluster cannot be reached, or refuses.
    """
    with _connected(context) as api:
        for _, claim in _bound_claims(api, namespace, names, 0):
            volume = f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}"
            _patch(api, volume, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})


def _bound_claims(
    api: Any,  # noqa: ANN401
    namespace: str,
    names: Iterable[str],
    seconds: float,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path of each claim that gets a volume within some seconds, and the claim. Pods with a node bring it one."""
    end = time.monotonic() + seconds
    for name in names:
        path = f"{_NAMESPACES}/{namespace}/persistentvolumeclaims/{name}"
        while not (claim := _bound_claim(api, path)) and time.monotonic() < end:
            time.sleep(0.5)
        if claim:
            yield path, claim


def _bound_claim(api: Any, path: str) -> dict[str, Any] | None:  # noqa: ANN401
    try:
        claim: dict[str, Any] = _request(api, "GET", path, {"Accept": "application/json"})
    except RefusedError as refused:
        if refused.status == 404:  # the StatefulSet has not made it yet
            return None
        raise
    return claim if claim["spec"].get("volumeName") else None


def _is_set_by_a_stack(storage_class: Mapping[str, Any]) -> bool:
    """Whether a StorageClassPatch holds the mark of a class: the provider names its field managers after itself."""
    return any(
        entry["manager"].startswith("pulumi-kubernetes") and f"f:{DEFAULT_CLASS}" in json.dumps(entry.get("fieldsV1"))
        for entry in storage_class["metadata"].get("managedFields") or []
    )


def _annotate(api: Any, storage_class: str, annotations: Mapping[str, str | None]) -> None:  # noqa: ANN401
    _patch(api, f"{_STORAGE_CLASSES}/{storage_class}", {"metadata": {"annotations": dict(annotations)}})


def _patch(api: Any, path: str, change: object) -> None:  # noqa: ANN401
    _request(api, "PATCH", path, {"Content-Type": "application/merge-patch+json"}, change)


def _contexts() -> frozenset[str]:
    """The contexts of the person's kubeconfig; none where it cannot be read."""
    from kubernetes.config import kube_config

    merged: Any = kube_config.KubeConfigMerger
    try:
        found = merged(os.environ.get("KUBECONFIG") or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
        return frozenset(each["name"] for each in found["contexts"])
    except Exception as problem:  # best effort: the provider will report the real error
        logging.getLogger(__name__).debug("cannot read the kubeconfig: %s", problem)
        return frozenset()


@contextmanager
def _connected(context: str) -> Iterator[Any]:
    """A client for one context of the person's kubeconfig; `kubernetes` is slow to import, so only here.

    Raises:
        NoAnswerError: Nobody listens at the cluster's address.
    """
    from kubernetes import client, config
    from kubernetes.config import kube_config
    from urllib3.exceptions import NewConnectionError

    once: Any = client.Configuration()
    once.retries = False  # otherwise the client tries four times
    connect: Any = config.new_client_from_config
    try:
        try:
            api = connect(os.environ.get("KUBECONFIG") or None, context=context, client_configuration=once)
        except ModuleNotFoundError as problem:
            package = "PySocks" if problem.name == "socks" else problem.name
            raise MissingPackageError(
                f"the kubeconfig needs the Python package {package}, which is not installed"
            ) from None
        pool = api.rest_client.pool_manager.connection_pool_kw
        _verify_as_kubectl_does(pool)
        if socks := pool.get("_socks_options"):
            # kubectl lets the proxy look up the name, which only its network may know.
            socks["rdns"] = True
        try:
            yield api
        except NewConnectionError as problem:
            through = " through its proxy" if socks else ""
            why = getattr(problem.__cause__, "strerror", None) or str(problem).rpartition(": ")[2]
            raise NoAnswerError(f"{api.configuration.host} does not answer{through} ({why})") from None
    finally:
        # The client keeps certificates and keys in files, and deletes them when the interpreter exits. But the process
        # of a dynamic provider is killed, so it never does.
        forget: Any = kube_config._cleanup_temp_files
        forget()


def _verify_as_kubectl_does(pool: dict[str, Any]) -> None:
    """Accepts a CA without key identifiers, such as that of EKS, which Python 3.13 refuses by default and Go does not.

    Everything else is verified as before: the chain to the kubeconfig's own CA, the dates, and the name.
    """
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context(cert_reqs=pool["cert_reqs"])
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not pool["ca_certs"] and not pool["ca_cert_data"]:
        context.load_default_certs()
    pool["ssl_context"] = context


def _namespace_metadata(api: Any, namespace: str) -> Mapping[str, Any] | None:  # noqa: ANN401
    """The metadata of a namespace, empty if there is none.

    It is also empty if RBAC denies the read, because a person who may not see a namespace cannot use it.
    """
    try:
        metadata: Mapping[str, Any] = _request(
            api, "GET", f"{_NAMESPACES}/{namespace}", {"Accept": "application/json"}
        )["metadata"]
    except RefusedError as refused:
        # Any other refusal, such as by a server that is overloaded, does not say that there is none.
        return {} if refused.status in (403, 404) else None
    return metadata


def _list(api: Any, path: str) -> list[dict[str, Any]]:  # noqa: ANN401
    items: list[dict[str, Any]] = _request(api, "GET", path, {"Accept": "application/json"})["items"]
    return items


def _list_if_allowed(api: Any, path: str) -> list[dict[str, Any]] | None:  # noqa: ANN401
    try:
        return _list(api, path)
    except RefusedError as refused:
        return [] if refused.status == 404 else None


def _secrets(api: Any, namespace: str) -> frozenset[str] | None:  # noqa: ANN401
    path = f"{_NAMESPACES}/{namespace}/secrets?includeObject=None"
    try:
        rows = _request(api, "GET", path, {"Accept": _TABLE})["rows"]
    except RefusedError:
        return None
    return frozenset(row["cells"][0] for row in rows or [])


def _name(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])


def _marks(classes: list[dict[str, Any]]) -> Mapping[str, str | None]:
    return {_name(item): _annotations(item).get(DEFAULT_CLASS) for item in classes}


def _annotations(item: Mapping[str, Any]) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}


def _ingress_class(item: Mapping[str, Any]) -> IngressClass:
    helm = [_annotations(item).get(f"meta.helm.sh/release-{part}", "") for part in ("namespace", "name")]
    return IngressClass(item["spec"].get("controller", ""), "/".join(helm) if all(helm) else "")


def _hosts(item: Mapping[str, Any]) -> Iterator[TakenHost]:
    name = f"{item['metadata']['namespace']}/{_name(item)}"
    spec = item["spec"]
    # Controllers still serve an Ingress that names its class as people did before Kubernetes 1.18.
    ingress_class = spec.get("ingressClassName") or _annotations(item).get("kubernetes.io/ingress.class", "")
    for rule in spec.get("rules") or []:
        paths = frozenset(each.get("path", "/") for each in (rule.get("http") or {}).get("paths") or [])
        yield TakenHost(name, ingress_class, rule.get("host", ""), paths, _annotations(item).get(STACK, ""))


def _mongo(api: Any, namespace: str, name: str) -> RunningMongo | None:  # noqa: ANN401
    sets = _list_if_allowed(api, f"/apis/apps/v1/namespaces/{namespace}/statefulsets") or []
    mongo = next((each for each in sets if _name(each) == name and is_ours(each["metadata"])), None)
    if mongo is None:
        return None
    claims = _list_if_allowed(api, f"{_NAMESPACES}/{namespace}/persistentvolumeclaims")
    jobs = _list_if_allowed(api, f"/apis/batch/v1/namespaces/{namespace}/jobs")
    pods = _list_if_allowed(api, f"{_NAMESPACES}/{namespace}/pods")
    # Without these, it is not known whether a member lost its volume, a rotation ended, or a member is well.
    return None if claims is None or jobs is None or pods is None else _running(mongo, claims, jobs, pods)


def _running(
    mongo: Mapping[str, Any], claims: list[dict[str, Any]], jobs: list[dict[str, Any]], pods: list[dict[str, Any]]
) -> RunningMongo:
    template = mongo["spec"]["volumeClaimTemplates"][0]["spec"]
    containers = mongo["spec"]["template"]["spec"]["containers"]
    members = int(_annotations(mongo).get(MEMBERS, mongo["spec"]["replicas"]))
    made = {_name(claim): claim for claim in claims}
    own = [made.get(f"data-{_name(mongo)}-{ordinal}") for ordinal in range(members)]
    volumes = [claim["metadata"] if claim else None for claim in own]
    first_size = template["resources"]["requests"]["storage"]
    sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in own if claim]
    is_new = [each is not None and _seconds(each) > _seconds(mongo["metadata"]) + _NEW_AFTER for each in volumes]
    status = mongo.get("status") or {}
    ordinals = {f"{_name(mongo)}-{ordinal}": ordinal for ordinal in range(members)}
    own_pods = [pod for pod in pods if _name(pod) in ordinals]
    ready = frozenset(ordinals[_name(pod)] for pod in own_pods if _is_ready(pod))
    bound = frozenset(claim["metadata"]["uid"] for claim in own if claim and claim["spec"].get("volumeName"))
    own_jobs = [job for job in jobs if is_ours(job["metadata"]) and _instance(job) == _name(mongo)]
    done = [job for job in own_jobs if (job.get("status") or {}).get("succeeded")]
    last = max((_time(job["status"]["completionTime"]) for job in done), default=0.0)
    rotations = [int(_annotations(job)[ROTATION]) for job in done if ROTATION in _annotations(job)]
    # While members restart, some still have the old keyfile.
    restarts = status.get("currentRevision") != status.get("updateRevision")
    return RunningMongo(
        members=members,
        storage_class=template.get("storageClassName", ""),
        volume_size=max(sizes, key=quantities.parse, default=first_size),
        first_volume_size=first_size,
        image=next((each["image"] for each in containers if each["name"] == "mongo"), ""),
        ready=ready,
        stuck=frozenset(ordinals[_name(pod)] for pod in own_pods if _is_stuck(pod)),
        restarts=restarts,
        rotated=0 if restarts else max(rotations, default=0),
        claims=bound,
        unbound=all(own) and not bound and not any(is_new),
        new_claim=volumes[0]["uid"] if volumes[0] and all(is_new) else "",
        # A member that is ready belongs to a set. Its data may be a copy, of which no new claim tells.
        empty=all(each and _seconds(each) > last for each in volumes) and all(is_new) and not ready,
    )


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _is_stuck(pod: Mapping[str, Any]) -> bool:
    """Whether a pod cannot start as things are: no node takes it, or its image or its process fails again and again."""
    status = pod.get("status") or {}
    unplaced = [each for each in status.get("conditions") or [] if each["type"] == "PodScheduled"]
    since = [_time(each["lastTransitionTime"]) for each in unplaced if each["status"] == "False"]
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    waiting = [((each.get("state") or {}).get("waiting") or {}).get("reason") for each in containers]
    fails = not set(waiting) <= {None, "ContainerCreating", "PodInitializing"}
    return fails or any(time.time() - each > _NEW_NODE_SECONDS for each in since)


def _instance(item: Mapping[str, Any]) -> str:
    """The database that an object belongs to."""
    return str((item["metadata"].get("labels") or {}).get("app.kubernetes.io/instance", ""))


def _seconds(metadata: Mapping[str, Any]) -> float:
    """When an object was created, in seconds of Unix time."""
    return _time(metadata["creationTimestamp"])


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _runs_linux(node: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    return labels.get("kubernetes.io/os", "linux") == "linux"


def _node(node: Mapping[str, Any]) -> Node:
    taints = tuple(
        taint
        for taint in node["spec"].get("taints") or []
        if taint["effect"] in ("NoSchedule", "NoExecute") and not taint["key"].startswith("node.kubernetes.io/")
    )
    return Node(node["metadata"].get("labels") or {}, taints)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """As Kubernetes has it: without a key it tolerates every taint, without an effect every effect."""
    if toleration.get("key", "") not in ("", taint["key"]) or toleration.get("effect", "") not in ("", taint["effect"]):
        return False
    same: bool = toleration.get("value", "") == taint.get("value", "")
    return same or toleration.get("operator") == "Exists"


def _request(api: Any, method: str, path: str, headers: Mapping[str, str], body: object = None) -> Any:  # noqa: ANN401
    call = api.param_serialize(
        method=method, resource_path=path, header_params=dict(headers), body=body, auth_settings=["BearerToken"]
    )
    answer = api.call_api(*call, _request_timeout=SECONDS)
    if answer.status >= 400:
        raise RefusedError(answer.status, f"{method} {path}: {answer.status} {answer.reason}", _why(answer.read()))
    return json.loads(answer.read())


def _why(body: bytes) -> str:
    """The message of a Status object; "" if a proxy answered with something else."""
    try:
        return str(json.loads(body).get("message") or "")
    except (ValueError, AttributeError):
        return ""
