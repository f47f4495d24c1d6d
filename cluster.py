"""What the program must know of the cluster before it declares anything: its classes, nodes and certificate issuers.

What does not exist would otherwise show as ten minutes of waiting for a volume, an address or a node. This reads only,
with the person's own kubeconfig and rights. Where it cannot read (no cluster yet, no right to list), it knows nothing,
and what is wrong is left for the provider to say.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

OURS = {"app.kubernetes.io/part-of": "pacman", "app.kubernetes.io/managed-by": "pulumi"}
"""The labels of all that this program makes, by which it knows it again."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# What one request may take.
SECONDS = 5
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_INGRESS_CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
_NODES = "/api/v1/nodes"
_ISSUERS = "/apis/cert-manager.io/v1/clusterissuers"
_NAMESPACES = "/api/v1/namespaces"
# What `kubectl get` shows: of Secrets, nothing else may leave the cluster. Their metadata would be too much already, in
# which `kubectl apply` keeps all of an object.
_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


class UnknownContextError(LookupError):
    """There is a kubeconfig, and it has no such context."""


class NoAnswerError(ConnectionError):
    """Nobody listens at the address that the kubeconfig has for a context."""


@dataclass(frozen=True, slots=True)
class IngressClass:
    """Whose an IngressClass is."""

    controller: str
    """How its controller signs: `k8s.io/ingress-nginx`, `nginx.org/ingress-controller`."""
    release: str = ""
    """The Helm release that made it, `namespace/name`; "" where none did."""


@dataclass(frozen=True, slots=True)
class RunningMongo:
    """What a StatefulSet of MongoDB is made with."""

    members: int
    storage_class: str
    volume_size: str
    image: str
    """What its pods run, or are about to."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is there already, by name."""

    storage: Mapping[str, str | None]
    """StorageClass to the value of its default-class annotation, None where it has none."""
    ingress: Mapping[str, IngressClass]
    """The IngressClasses."""
    nodes: int | None = None
    """Nodes that take any pod; None where they may not be listed."""
    issuers: frozenset[str] | None = None
    """The ClusterIssuers of cert-manager, none where it is not installed; None where they may not be listed."""
    mongo: RunningMongo | None = None
    """The database in the namespace of the stack, None where this program made none, or it may not be seen."""
    secrets: frozenset[str] | None = None
    """The names of the Secrets there; None where they may not be listed."""


def read(context: str, namespace: str) -> Cluster | None:
    """What a context's cluster has, or None where its classes cannot be read within a few seconds.

    Args:
        context: The kubeconfig context.
        namespace: That of the stack, for what runs there already.

    Raises:
        UnknownContextError: There is a kubeconfig, and it has no such context.
        NoAnswerError: Nobody listens at the cluster's address. A cluster that is only slow is not known, and no error.
    """
    try:
        with _connected(context) as api:
            storage, ingress = _list(api, _STORAGE_CLASSES), _list(api, _INGRESS_CLASSES)
            nodes, issuers = _list_if_allowed(api, _NODES), _list_if_allowed(api, _ISSUERS)
            sets = _list_if_allowed(api, f"/apis/apps/v1/namespaces/{namespace}/statefulsets")
            secrets = _secrets(api, namespace)
    except NoAnswerError:
        raise
    except Exception as problem:  # whatever it is, the provider meets it next and says it better
        logging.getLogger(__name__).debug("cannot read classes: %s", problem)
        if (contexts := _contexts()) and context not in contexts:
            raise UnknownContextError(context) from None
        return None
    return Cluster(
        _marks(storage),
        {_name(item): _ingress_class(item) for item in ingress},
        None if nodes is None else sum(_takes_pods(node) for node in nodes),
        None if issuers is None else frozenset(map(_name, issuers)),
        next((_running(each) for each in sets or [] if _name(each) == "mongo" and is_ours(each["metadata"])), None),
        secrets,
    )


def namespace_metadata(context: str, namespace: str) -> Mapping[str, Any] | None:
    """The metadata of a namespace, None where there is none, or it may not be seen.

    Raises:
        Exception: The cluster cannot be reached, or cannot answer.
    """
    with _connected(context) as api:
        try:
            found = _request(api, "GET", f"{_NAMESPACES}/{namespace}", {"Accept": "application/json"})
        except RefusedError as refused:
            # Any other refusal, such as by a server that is overloaded, does not say that there is none.
            if refused.status in (403, 404):
                return None
            raise
    metadata: Mapping[str, Any] = found["metadata"]
    return metadata


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Whether an object has the labels that this program gives to what it makes."""
    return OURS.items() <= (metadata.get("labels") or {}).items()


def default_marks(context: str) -> Mapping[str, str | None]:
    """Every StorageClass to the value of its default-class annotation, None where it has none.

    Raises:
        Exception: The cluster cannot be reached or refuses.
    """
    with _connected(context) as api:
        return _marks(_list(api, _STORAGE_CLASSES))


def restore_default_marks(context: str, marks: Mapping[str, str | None]) -> None:
    """Gives StorageClasses back the default mark that they had.

    A class that has a mark now was given one by somebody else since, and keeps it; one that is gone is left alone.

    Args:
        context: The kubeconfig context.
        marks: StorageClass to the value of its annotation, None where it had none.

    Raises:
        Exception: The cluster cannot be reached or refuses; nothing is lost, and the same call can be made again.
    """
    with _connected(context) as api:
        now = {_name(item): item for item in _list(api, _STORAGE_CLASSES)}
        for name, mark in marks.items():
            if mark is None or name not in now or DEFAULT_CLASS in _annotations(now[name]):
                continue
            _request(
                api,
                "PATCH",
                f"{_STORAGE_CLASSES}/{name}",
                {"Content-Type": "application/merge-patch+json"},
                {"metadata": {"annotations": {DEFAULT_CLASS: mark}}},
            )


def _contexts() -> frozenset[str]:
    """The contexts of the person's kubeconfig; none where it cannot be read."""
    from kubernetes.config import kube_config

    merged: Any = kube_config.KubeConfigMerger
    try:
        found = merged(os.environ.get("KUBECONFIG") or kube_config.KUBE_CONFIG_DEFAULT_LOCATION).config
        return frozenset(each["name"] for each in found["contexts"])
    except Exception as problem:  # whatever it is, the provider meets it next and says it better
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
    once.retries = False  # or a cluster that is away is waited for four times
    connect: Any = config.new_client_from_config
    try:
        api = connect(os.environ.get("KUBECONFIG") or None, context=context, client_configuration=once)
        try:
            yield api
        except NewConnectionError as problem:
            reason = getattr(problem.__cause__, "strerror", None) or problem
            raise NoAnswerError(f"{api.configuration.host} does not answer ({reason})") from None
    finally:
        # The client keeps certificates and keys in files, and deletes them when the interpreter ends; but the process
        # of a dynamic provider does not end, it is killed.
        forget: Any = kube_config._cleanup_temp_files
        forget()


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


def _running(mongo: Mapping[str, Any]) -> RunningMongo:
    claim = mongo["spec"]["volumeClaimTemplates"][0]["spec"]
    containers = mongo["spec"]["template"]["spec"]["containers"]
    return RunningMongo(
        mongo["spec"]["replicas"],
        claim.get("storageClassName", ""),
        claim["resources"]["requests"]["storage"],
        next((each["image"] for each in containers if each["name"] == "mongo"), ""),
    )


def _takes_pods(node: Mapping[str, Any]) -> bool:
    taints = node["spec"].get("taints") or []
    return not any(taint["effect"] in ("NoSchedule", "NoExecute") for taint in taints)


class RefusedError(RuntimeError):
    """The API answered, and not with what was asked for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _request(api: Any, method: str, path: str, headers: Mapping[str, str], body: object = None) -> Any:  # noqa: ANN401
    call = api.param_serialize(
        method=method, resource_path=path, header_params=dict(headers), body=body, auth_settings=["BearerToken"]
    )
    answer = api.call_api(*call, _request_timeout=SECONDS)
    if answer.status >= 400:
        raise RefusedError(answer.status, f"{method} {path}: {answer.status} {answer.reason}")
    return json.loads(answer.read())
