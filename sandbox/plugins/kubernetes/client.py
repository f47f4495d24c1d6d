"""The cluster: which one a kubeconfig means, and requests to its API server.

This is the only module that knows the client library.

Requests go to paths that are known without asking the server, for the kinds that Kubernetes itself brings; for others
one small request per group and version tells. The library is imported at the first request: an `up` without changes has
none.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.plugins.kubernetes.values import Object, name_of, namespace_of, words

_CLUSTER_SCOPED: Final = frozenset(
    words(
        "APIService CertificateSigningRequest ClusterRole ClusterRoleBinding ComponentStatus CSIDriver CSINode "
        "CustomResourceDefinition DeviceClass FlowSchema IngressClass IPAddress MutatingAdmissionPolicy "
        "MutatingAdmissionPolicyBinding MutatingWebhookConfiguration Namespace Node PersistentVolume PriorityClass "
        "PriorityLevelConfiguration RuntimeClass ServiceCIDR StorageClass ValidatingAdmissionPolicy "
        "ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration VolumeAttachment VolumeAttributesClass"
    )
)
_BUILT_IN: Final = frozenset(
    words(
        "admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io apps authentication.k8s.io "
        "authorization.k8s.io autoscaling batch certificates.k8s.io coordination.k8s.io discovery.k8s.io "
        "events.k8s.io flowcontrol.apiserver.k8s.io networking.k8s.io node.k8s.io policy rbac.authorization.k8s.io "
        "resource.k8s.io scheduling.k8s.io storage.k8s.io"
    )
)
APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60


class ConfigError(Exception):
    """A kubeconfig that leads nowhere: one line that says what to do."""


class UnreachableError(Exception):
    """The API server does not answer: one line that says which, and what to do."""


class ApiError(Exception):
    """The API server refused: its own message, and the reason and the causes as it gives them."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.reason = str(body.get("reason") or "")
        self.details: Mapping[str, Any] = body.get("details") or {}
        super().__init__(str(body.get("message") or f"the API server answered {status}"))


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster that a kubeconfig, a context and a cluster name mean together."""

    context: str
    server: str
    namespace: str
    config: Object
    """The merged kubeconfig, its paths absolute."""


def resolve(kubeconfig: str, context: str, cluster: str, namespace: str) -> Target:
    """Finds out which cluster is meant, without contacting it.

    Args:
        kubeconfig: A path, or a kubeconfig itself; empty: the person's own, as kubectl finds it.
        context: The context; empty: the kubeconfig's current one.
        cluster: A cluster of the kubeconfig to use in place of the context's.
        namespace: The namespace for objects that name none; empty: the context's.

    Raises:
        ConfigError: There is no such kubeconfig, context or cluster.
    """
    config, source = _load(kubeconfig)
    contexts = {each["name"]: each.get("context") or {} for each in config["contexts"]}
    name = context or config["current-context"]
    if not name:
        raise ConfigError(f"{source} has no current context, and the provider names none: set `context`")
    if name not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise ConfigError(
            f'context "{name}" does not exist in {source}, which has: {known}; start that cluster, or set `context` to '
            "one that `kubectl config get-contexts` lists"
        )
    if cluster:
        contexts[name]["cluster"] = cluster
    wanted = contexts[name].get("cluster")
    servers = {each["name"]: (each.get("cluster") or {}).get("server", "") for each in config["clusters"]}
    if wanted not in servers:
        raise ConfigError(f'context "{name}" of {source} means cluster "{wanted}", which does not exist there')
    return Target(name, servers[wanted], namespace or contexts[name].get("namespace") or "default", config)


def forget_credentials() -> None:
    """Deletes the files in which the client library keeps keys; by itself it does so only where an interpreter ends."""
    if "kubernetes" in sys.modules:
        from kubernetes.config import kube_config

        forget: Any = kube_config._cleanup_temp_files  # has no types
        forget()


def is_namespaced(obj: Object) -> bool:
    """Whether objects of this kind live in a namespace; without asking, so true for a kind that is not known."""
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    return (group != "" and group not in _BUILT_IN) or obj.get("kind") not in _CLUSTER_SCOPED


class Cluster:
    """Requests to one API server; any number of threads may make them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._api: Any = None
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def get(self, obj: Object) -> Object | None:
        """The live object of that kind, namespace and name, or None where there is none."""
        try:
            return self.request("GET", self._path(obj, name_of(obj)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Object]:
        """The live objects of a kind in a namespace, those that a label selector chooses."""
        obj: Object = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        items = self.request("GET", self._path(obj, ""), {"labelSelector": labels} if labels else None).get("items")
        return list(items or [])

    def create(self, obj: Object, manager: str, *, dry_run: bool) -> Object:
        """Makes the object; one that exists is an error (reason AlreadyExists)."""
        query = {"fieldManager": manager} | _dry(dry_run)
        return self.request("POST", self._path(obj, ""), query, obj, "application/json")

    def apply(self, obj: Object, manager: str, *, force: bool, dry_run: bool = False) -> Object:
        """Applies the object on the server's side; a field of another manager is a conflict unless forced."""
        query = {"fieldManager": manager, "force": str(force).lower()} | _dry(dry_run)
        return self.request("PATCH", self._path(obj, name_of(obj)), query, obj, APPLY)

    def patch(
        self, obj: Object, change: object, content_type: str, manager: str = "", *, dry_run: bool = False
    ) -> Object:
        """Patches the object of that kind, namespace and name."""
        query = ({"fieldManager": manager} if manager else {}) | _dry(dry_run)
        return self.request("PATCH", self._path(obj, name_of(obj)), query, change, content_type)

    def delete(self, obj: Object, propagation: str) -> None:
        """Asks for the object's deletion; one that is gone already is an ApiError 404."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        self.request("DELETE", self._path(obj, name_of(obj)), None, body, "application/json")

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "",
    ) -> Object:
        """One request.

        Raises:
            ApiError: The server refused.
            UnreachableError: It did not answer.
        """
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError, ProtocolError

        api = self._client()
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        call = api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        for last in (method != "GET", True):
            try:
                response = api.call_api(*call, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS))
                status, data = int(response.status), response.read()
                break
            except (HTTPError, OSError, ApiException) as error:  # the last is how the client tells of a bad certificate
                # The server may have closed the connection since the last request; reading twice does no harm.
                if last or not isinstance(error, ProtocolError):
                    raise UnreachableError(self._unreachable(error)) from None
        if status == 401:
            raise UnreachableError(
                f'context "{self.target.context}": the API server at {self.target.server} does not accept its '
                "credentials: renew them, or choose another context"
            )
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if status >= 400 or not isinstance(answer, dict):
            raise ApiError(status, answer if isinstance(answer, dict) else {})
        return answer

    def _path(self, obj: Object, name: str) -> str:
        api_version, kind = str(obj["apiVersion"]), str(obj["kind"])
        plural, namespaced = self._resource(api_version, kind)
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if namespaced:
            base += f"/namespaces/{namespace_of(obj) or self.target.namespace}"
        return f"{base}/{plural}" + (f"/{name}" if name else "")

    def _resource(self, api_version: str, kind: str) -> tuple[str, bool]:
        """A kind's plural name, and whether it is namespaced."""
        group = api_version.rpartition("/")[0]
        if group == "" or group in _BUILT_IN:
            return _plural(kind), kind not in _CLUSTER_SCOPED
        known = self._resources.get(api_version, {})
        if kind not in known:  # asked again where the kind is missing: its definition may have come since
            listing = self.request("GET", f"/apis/{api_version}")
            known = {
                each["kind"]: (each["name"], bool(each["namespaced"]))
                for each in listing.get("resources") or []
                if "/" not in each["name"]
            }
            self._resources[api_version] = known
        if kind not in known:
            raise ApiError(404, {"reason": "NotFound", "message": f"the cluster knows no kind {kind} in {api_version}"})
        return known[kind]

    def _client(self) -> Any:  # noqa: ANN401 - the library has no types
        with self._lock:
            if self._api is None:
                from kubernetes import client, config

                connect: Any = config.new_client_from_config_dict  # has no types
                settings = client.Configuration()
                settings.retries = False
                settings.connection_pool_maxsize = 64  # many resources wait at once
                try:
                    self._api = connect(
                        self.target.config,
                        context=self.target.context,
                        persist_config=False,
                        client_configuration=settings,
                    )
                except (
                    Exception
                ) as error:  # whatever is wrong with the credentials, the person must hear it in one line
                    raise UnreachableError(
                        f'context "{self.target.context}" ({self.target.server}) cannot be used: {_first_line(error)}'
                    ) from None
            return self._api

    def _unreachable(self, error: Exception) -> str:
        return (
            f'the cluster of context "{self.target.context}" at {self.target.server} cannot be reached '
            f"({_why(error)}): start it, or choose another context"
        )


def _load(kubeconfig: str) -> tuple[Object, str]:
    """The merged kubeconfig, and what to call it in an error."""
    if kubeconfig:
        path = Path(kubeconfig).expanduser()
        if "\n" not in kubeconfig and "{" not in kubeconfig:
            if not path.is_file():
                raise ConfigError(f"kubeconfig {path} does not exist")
            return _merged([path]), str(path)
        return _normal(_parsed(kubeconfig, "the provider's kubeconfig"), Path()), "the provider's kubeconfig"
    ambient = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    paths = [Path(each) for each in ambient.split(os.pathsep) if each]
    present = [each for each in paths if each.is_file()]
    if not present:
        raise ConfigError(f"no kubeconfig at {ambient}: set KUBECONFIG, or start a cluster")
    return _merged(present), ambient


def _merged(paths: list[Path]) -> Object:
    """Several kubeconfigs as one; the first to name a thing wins, as with kubectl."""
    merged: Object = {"current-context": "", "contexts": [], "clusters": [], "users": []}
    for path in paths:
        one = _normal(_parsed(path.read_text(), str(path)), path.parent.absolute())
        merged["current-context"] = merged["current-context"] or one["current-context"]
        for section in ("contexts", "clusters", "users"):
            taken = {each["name"] for each in merged[section]}
            merged[section] += [each for each in one[section] if each["name"] not in taken]
    return merged


def _parsed(text: str, source: str) -> Object:
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError:
        raise ConfigError(f"{source} is not a kubeconfig: it does not parse as YAML") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{source} is not a kubeconfig")
    return config


def _normal(config: Object, folder: Path) -> Object:
    """The sections that matter, with paths that are relative to the file made absolute."""
    for section, inner, keys in (
        ("clusters", "cluster", ("certificate-authority",)),
        ("users", "user", ("client-certificate", "client-key", "tokenFile")),
    ):
        for each in config.get(section) or []:
            entry = each.get(inner) or {}
            for key in keys:
                if entry.get(key):
                    entry[key] = str(folder / entry[key])
    return {
        "current-context": config.get("current-context") or "",
        "contexts": list(config.get("contexts") or []),
        "clusters": list(config.get("clusters") or []),
        "users": list(config.get("users") or []),
    }


def _plural(kind: str) -> str:
    lower = kind.lower()
    if lower == "endpoints":
        return lower
    if lower.endswith("y") and lower[-2] not in "aeiou":
        return lower[:-1] + "ies"
    return lower + ("es" if lower.endswith(("s", "x", "ch")) else "s")


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _why(error: Exception) -> str:
    text = str(error)
    for mark, reason in (
        ("refused", "connection refused"),
        ("timed out", "no answer"),
        ("certificate", "its certificate is not the one that the kubeconfig trusts"),
        ("No route", "no route to host"),
        ("resolve", "its name does not resolve"),
    ):
        if mark in text:
            return reason
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error).splitlines()[0] if str(error) else type(error).__name__)[:200]
