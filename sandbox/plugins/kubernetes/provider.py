"""The provider: what the engine asks of it, for any kind of object, as the official Kubernetes provider answers.

An object is created as it is (one that exists already is an error), and updated by server-side apply under a field
manager of the resource's own. The state holds the live object, the inputs it was made from, and that manager's name.
"""

import functools
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2, struct_pb2
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from sandbox.plugins.kubernetes import awaits, diff, expressions, managers, objects, rules
from sandbox.plugins.kubernetes.client import (
    JSON_PATCH,
    MERGE_PATCH,
    ApiError,
    Cluster,
    ConfigError,
    Target,
    UnreachableError,
    is_namespaced,
    resolve,
)
from sandbox.plugins.kubernetes.values import (
    Object,
    Properties,
    annotation,
    at,
    has_unknown,
    marshal,
    name_of,
    namespace_of,
    plain,
    unmarshal,
)
from sandbox.plugins.serving import sdk_version

_AUTONAMED: Final = "pulumi.com/autonamed"
_PATCH_FORCE: Final = "pulumi.com/patchForce"
_PATCH_MANAGER: Final = "pulumi.com/patchFieldManager"
_REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
_DELETE_UNREACHABLE: Final = "PULUMI_K8S_DELETE_UNREACHABLE"

# What the provider adds to the live object in the state.
_INPUTS: Final = "__inputs"
_MANAGER: Final = "__fieldManager"
_INITIAL_VERSION: Final = "__initialApiVersion"

# A namespace or a custom kind may be created a moment later than what needs it.
_CREATE_PAUSES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
# Controllers write to an object all the time; what was read of it may be old when it is written back.
_ADOPT_TRIES: Final = 10

_Changed = provider_pb2.DiffResponse
_Kind = provider_pb2.PropertyDiff
_KINDS: Final = {
    (diff.Change.ADD, False): _Kind.ADD,
    (diff.Change.ADD, True): _Kind.ADD_REPLACE,
    (diff.Change.DELETE, False): _Kind.DELETE,
    (diff.Change.DELETE, True): _Kind.DELETE_REPLACE,
    (diff.Change.UPDATE, False): _Kind.UPDATE,
    (diff.Change.UPDATE, True): _Kind.UPDATE_REPLACE,
}


class RefusedError(Exception):
    """What was asked cannot be done; one message for the person who asked."""


class _InitFailedError(Exception):
    """The object exists, but is not ready: it goes into the state, and the next `up` goes on waiting for it."""

    def __init__(self, ident: str, state: struct_pb2.Struct, reasons: list[str], inputs: struct_pb2.Struct) -> None:
        super().__init__(reasons[0])
        self.detail = provider_pb2.ErrorResourceInitFailed(id=ident, properties=state, reasons=reasons, inputs=inputs)


class _HasUrn(Protocol):
    @property
    def urn(self) -> str: ...


_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Handler = Callable[["KubernetesProvider", _Request, grpc.ServicerContext], _Response]


def _answered(handler: _Handler[_Request, _Response]) -> _Handler[_Request, _Response]:
    """Turns what goes wrong into the engine's errors: always one message, never a traceback."""

    @functools.wraps(handler)
    def answer(self: "KubernetesProvider", request: _Request, context: grpc.ServicerContext) -> _Response:
        try:
            return handler(self, request, context)
        except _InitFailedError as failed:
            detail = any_pb2.Any()
            detail.Pack(failed.detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failed), details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNKNOWN, str(failed))
        except (RefusedError, ConfigError, UnreachableError, awaits.NotReadyError) as refused:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        except ApiError as refused:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"the API server refused: {refused}")
        raise AssertionError("abort raises")

    return answer


@dataclass(frozen=True, slots=True)
class _Settings:
    """The provider's configuration."""

    target: Target | None
    problem: str
    """Why there is no target."""
    server_side_apply: bool
    force: bool
    upsert: bool
    delete_unreachable: bool
    mutable: tuple[str, ...]
    """Kinds whose data is updated in place."""

    @staticmethod
    def read(config: Mapping[str, object]) -> "_Settings":
        def text(name: str) -> str:
            value = config.get(name)
            return value if isinstance(value, str) else ""

        def flag(name: str, variable: str, default: bool = False) -> bool:
            value = config.get(name, os.environ.get(variable))
            return default if value is None else str(value).lower() == "true"

        target, problem = None, ""
        try:
            target = resolve(text("kubeconfig"), text("context"), text("cluster"), text("namespace"))
        except ConfigError as found:
            problem = str(found)
        mutable = {
            "ConfigMap": flag("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            "Secret": flag("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        }
        return _Settings(
            target,
            problem,
            server_side_apply=flag("enableServerSideApply", "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", True),
            force=flag("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
            upsert=flag("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
            delete_unreachable=flag("deleteUnreachable", _DELETE_UNREACHABLE),
            mutable=tuple(kind for kind, on in mutable.items() if on),
        )


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider: the engine starts a process for each."""

    def __init__(self, engine_address: str = "") -> None:
        self._cancelled = threading.Event()
        self._engine = _engine(engine_address) if engine_address else None
        self._settings: _Settings | None = None
        self._cluster: Cluster | None = None
        self._warned = threading.Event()

    # --- The plugin and its configuration ---

    def Handshake(  # noqa: N802 - the protocol's name
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Learns where the engine listens, and tells it what this provider can do."""
        self._engine = _engine(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Learns where the engine listens."""
        self._engine = _engine(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """The version of the official provider that this one stands in for: the one that the installed SDK wants."""
        return plugin_pb2.PluginInfo(version=sdk_version("pulumi_kubernetes"))

    @_answered
    def CheckConfig(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Refuses a context that does not exist, before anything is registered with it."""
        config = plain(unmarshal(request.news))
        failures = []
        if not has_unknown(config):
            settings = _Settings.read(config)
            if settings.problem and not settings.delete_unreachable:
                failures.append(provider_pb2.CheckFailure(reason=settings.problem))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_answered
    def DiffConfig(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """A provider that surely points to another cluster is replaced, and everything on it; any other is updated."""
        old, new = plain(unmarshal(request.olds)), plain(unmarshal(request.news))
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if not changed:
            return _Changed(changes=_Changed.DIFF_NONE)
        where: list[str] = [key for key in ("kubeconfig", "context", "cluster") if key in changed]
        before, after = old.get("clusterIdentifier"), new.get("clusterIdentifier")
        replaces: list[str] = []
        if before and after:
            replaces = ["clusterIdentifier"] if before != after else []
        elif has_unknown([new.get(key) for key in where]) or _other_server(old, new):
            replaces = where
        return _Changed(changes=_Changed.DIFF_SOME, diffs=changed, replaces=replaces)

    @_answered
    def Configure(  # noqa: N802
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Takes the configuration; a cluster that cannot be found shows only once something is asked of it."""
        self._settings = _Settings.read(plain(unmarshal(request.args)))
        self._cluster = Cluster(self._settings.target) if self._settings.target else None
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Ends every wait at once; what was made stays made, and is reported so."""
        self.cancel()
        return empty_pb2.Empty()

    def cancel(self) -> None:
        """Ends every wait at once."""
        self._cancelled.set()

    # --- Inputs ---

    @_answered
    def Check(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Completes the inputs: a name, a namespace, a Secret's data as the server keeps it."""
        properties = unmarshal(request.news)
        if _is_release(request.urn):
            return provider_pb2.CheckResponse(inputs=request.news)
        new, old = plain(properties), plain(unmarshal(request.olds))
        patch = objects.is_patch(request.urn, str(new.get("kind")))
        failures = []
        if patch and not self._config.server_side_apply:
            raise RefusedError("a Patch resource needs server-side apply: set the provider's enableServerSideApply")
        if patch and not at(new, "metadata", "name"):
            raise RefusedError("a Patch resource must name its object: set metadata.name")
        metadata = {
            key: value for key, value in (new.get("metadata") or {}).items() if key not in objects.READ_ONLY_METADATA
        }
        new = objects.with_data({**new, "metadata": metadata})
        if metadata.get("generateName") and not metadata.get("name") and self._config.server_side_apply:
            raise RefusedError(
                "metadata.generateName does not go with server-side apply: set metadata.name, or neither"
            )
        if not metadata.get("name") and not metadata.get("generateName"):
            new = _named(new, old, request)
        namespace = self._config.target.namespace if self._config.target else ""
        if namespace and not at(new, "metadata", "namespace") and is_namespaced(new):
            new = objects.with_metadata(new, namespace=namespace)
        if not self._config.server_side_apply and (not old or at(old, "metadata", "labels", _MANAGED_BY)):
            labels = at(new, "metadata", "labels") or {}
            new = objects.with_metadata(new, labels={**labels, _MANAGED_BY: "pulumi"})
        if wanted := annotation(new, expressions.WAIT_FOR):
            try:
                expressions.parse(wanted)
            except ValueError as problem:
                failures.append(provider_pb2.CheckFailure(property="metadata.annotations", reason=str(problem)))
        return provider_pb2.CheckResponse(inputs=marshal(new, properties), failures=failures)

    @_answered
    def Diff(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """What changed; the API server is not asked, so that an `up` without changes costs nothing."""
        state, new = plain(unmarshal(request.olds)), plain(unmarshal(request.news))
        old = state.get(_INPUTS) or plain(unmarshal(request.old_inputs))
        old, new = objects.with_data(objects.canonical(old)), objects.canonical(new)
        patch = objects.is_patch(request.urn, str(new.get("kind")))
        forcing = diff.force_new(new, patch=patch, mutable=self._config.mutable)
        detailed, replaces = {}, []
        for path, change in diff.changes(old, new).items():
            value = diff.value_at(old if change is diff.Change.DELETE else new, path)
            forced = diff.replaces(path, value, forcing)
            text = diff.render(path)
            detailed[text] = _Kind(kind=_KINDS[change, forced], inputDiff=change is diff.Change.DELETE)
            if forced:
                replaces.append(text)
        if not replaces and annotation(new, _REPLACE_UNREADY) == "true" and self._is_unready_job(state):
            replaces.append(f'metadata.annotations["{_REPLACE_UNREADY}"]')
        # Where the name is the person's own and stays, the new object cannot exist beside the old one.
        same_object = (name_of(new), namespace_of(new)) == (name_of(state), namespace_of(objects.canonical(state)))
        return _Changed(
            changes=_Changed.DIFF_SOME if detailed or replaces else _Changed.DIFF_NONE,
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and same_object and annotation(new, _AUTONAMED) != "true",
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    # --- Objects ---

    @_answered
    def Create(  # noqa: N802
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Makes the object, or patches one that exists, and waits until it is ready."""
        if _is_release(request.urn):
            if request.preview:
                return provider_pb2.CreateResponse(properties=request.properties)
            raise RefusedError("a Helm release needs the official Kubernetes provider: the sandbox has no Helm")
        properties = unmarshal(request.properties)
        obj = plain(properties)
        patch = objects.is_patch(request.urn, str(obj.get("kind")))
        manager = annotation(obj, _PATCH_MANAGER) or self._new_manager()
        if request.preview:
            live = None if patch or has_unknown(obj) else self._try_create(request, obj, manager)
            if live is None:
                return provider_pb2.CreateResponse(properties=request.properties)
            live.pop("status", None)
            return provider_pb2.CreateResponse(properties=_state(live, obj, properties, manager))
        cluster = self._reach()
        waiter = self._waiter(request, cluster)
        what = objects.what(obj)
        try:
            live = self._patch(cluster, obj, manager) if patch else self._create(cluster, waiter, obj, manager)
        except ApiError as error:
            raise RefusedError(_create_message(what, error, manager)) from None
        try:
            live = waiter.until_ready(live, obj, request.timeout)
        except awaits.NotReadyError as failed:
            live = _newest(cluster, live)
            reasons = [f"{what} was created, but {failed.reasons[0]}", *failed.reasons[1:]]
            state = _state(live, obj, properties, manager)
            raise _InitFailedError(objects.ident(live), state, reasons, request.properties) from None
        return provider_pb2.CreateResponse(id=objects.ident(live), properties=_state(live, obj, properties, manager))

    @_answered
    def Update(  # noqa: N802
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Applies the new inputs to the object, and waits until it is ready."""
        properties, old = unmarshal(request.news), plain(unmarshal(request.olds))
        obj = plain(properties)
        if request.preview and has_unknown(obj):
            return provider_pb2.UpdateResponse(properties=request.news)
        manager_before = str(old.get(_MANAGER) or "")
        manager = annotation(obj, _PATCH_MANAGER) or manager_before or self._new_manager()
        initial = str(old.get(_INITIAL_VERSION) or "")
        what = objects.what(obj)
        try:
            cluster = self._reach()
            target = objects.with_metadata(obj, name=name_of(old) or name_of(obj))
            before = cluster.get(target)
            if before is None:
                raise RefusedError(
                    f"{what} cannot be updated: it is gone from the cluster; `pulumi up --refresh` makes it again"
                )
            live = self._apply(request, cluster, target, before, old, manager)
        except (UnreachableError, ConfigError) as problem:
            if not request.preview:
                raise
            self._warn_once(request.urn, problem)
            return provider_pb2.UpdateResponse(properties=request.news)
        except ApiError as error:
            if request.preview and error.status == 403:
                return provider_pb2.UpdateResponse(properties=request.news)
            raise RefusedError(_conflict_message(f"{what} was not updated", error, manager)) from None
        if request.preview:
            return provider_pb2.UpdateResponse(properties=_state(live, obj, properties, manager, initial))
        try:
            live = self._waiter(request, cluster).until_ready(live, obj, request.timeout)
        except awaits.NotReadyError as failed:
            live = _newest(cluster, live)
            reasons = [f"{what} was updated, but {failed.reasons[0]}", *failed.reasons[1:]]
            state = _state(live, obj, properties, manager, initial)
            raise _InitFailedError(objects.ident(live), state, reasons, request.news) from None
        if self._config.server_side_apply and manager_before not in ("", manager):
            cluster.apply(objects.identity(live), manager_before, force=False)
            live = _newest(cluster, live)
        return provider_pb2.UpdateResponse(properties=_state(live, obj, properties, manager, initial))

    @_answered
    def Read(  # noqa: N802
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        """The object as it is now: for a refresh, an import, or to refer to one of somebody else's."""
        input_properties, state = unmarshal(request.inputs), plain(unmarshal(request.properties))
        inputs = objects.with_data(plain(input_properties))
        known = bool(inputs.get("kind"))
        namespace, _, name = request.id.rpartition("/")
        target = inputs if known else state if state.get("kind") else objects.of_type(request.urn)
        target = objects.with_metadata(target, name=name) if name else target
        target = objects.with_metadata(target, namespace=namespace) if namespace else target
        try:
            cluster = self._reach()
            live = cluster.get(target)
        except (UnreachableError, ConfigError) as problem:
            self._forget_unreachable(request.urn, problem)
            return provider_pb2.ReadResponse()
        if live is None:
            return provider_pb2.ReadResponse()
        manager = annotation(inputs, _PATCH_MANAGER) or str(state.get(_MANAGER) or "") or self._new_manager()
        live_inputs = diff.prune(live, inputs) if known else objects.as_inputs(live)
        new_state = _state(live, live_inputs, input_properties, manager, str(state.get(_INITIAL_VERSION) or ""))
        new_inputs = marshal(live_inputs, input_properties)
        if known:
            waiter = self._waiter(request, cluster)
            now = waiter.state_of(live)
            if not now.ready:
                reasons = [f"{objects.what(live)} is not ready: {now.message}", *waiter.problems(live)]
                raise _InitFailedError(request.id, new_state, reasons, new_inputs)
        return provider_pb2.ReadResponse(id=request.id or objects.ident(live), properties=new_state, inputs=new_inputs)

    @_answered
    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Deletes the object and waits until it is gone, with what depends on it; a patch only lets its fields go."""
        state = plain(unmarshal(request.properties))
        inputs: Object = state.get(_INPUTS) or plain(unmarshal(request.old_inputs))
        target = objects.identity(state if state.get("kind") else inputs)
        what = objects.what(target)
        try:
            cluster = self._reach()
            live = cluster.get(target)
        except (UnreachableError, ConfigError) as problem:
            self._forget_unreachable(request.urn, problem)
            return empty_pb2.Empty()
        except ApiError as error:
            if error.status != 404:  # the kind itself may be gone, and its objects with it
                raise
            return empty_pb2.Empty()
        if live is None:
            return empty_pb2.Empty()
        try:
            if objects.is_patch(request.urn, str(target["kind"])):
                cluster.apply(target, str(state.get(_MANAGER) or ""), force=False)
                return empty_pb2.Empty()
            cluster.delete(target, _propagation(inputs))
        except ApiError as error:
            if error.status == 404:
                return empty_pb2.Empty()
            required = [
                each.get("field")
                for each in error.details.get("causes") or []
                if each.get("reason") == "FieldValueRequired"
            ]
            if required:
                raise RefusedError(
                    f"{what} needs {', '.join(map(str, required))}, which this Patch sets and cannot let go of: set "
                    "retain_on_delete on it, or give the field to another manager first"
                ) from None
            raise RefusedError(f"{what} was not deleted: {error}") from None
        try:
            waiter = self._waiter(request, cluster)
            waiter.until_gone(target, str(at(live, "metadata", "uid") or ""), inputs, request.timeout)
        except awaits.NotReadyError as failed:
            raise RefusedError(f"{what}: {failed}") from None
        return empty_pb2.Empty()

    # --- Pieces ---

    @property
    def _config(self) -> _Settings:
        if self._settings is None:
            raise RefusedError("the provider is not configured yet")
        return self._settings

    def _forget_unreachable(self, urn: str, problem: Exception) -> None:
        """Says that an object whose cluster is away is taken out of the state.

        Raises:
            RefusedError: The person did not say that it is gone for good.
        """
        if not self._config.delete_unreachable:
            raise RefusedError(
                f"{problem}; where it is gone for good, {_DELETE_UNREACHABLE}=true forgets what was on it"
            ) from None
        self._log(urn, f"{problem}: taken out of the state, as {_DELETE_UNREACHABLE} says", warning=True)

    def _reach(self) -> Cluster:
        if self._cluster is None:
            raise ConfigError(self._config.problem)
        return self._cluster

    def _new_manager(self) -> str:
        suffix = f"-{secrets.token_hex(4)}" if self._config.server_side_apply else ""
        return f"pulumi-kubernetes{suffix}"

    def _forces(self, obj: Object) -> bool:
        return self._config.force or annotation(obj, _PATCH_FORCE) == "true"

    def _create(self, cluster: Cluster, waiter: awaits.Waiter, obj: Object, manager: str) -> Object:
        for pause in (*_CREATE_PAUSES, None):
            try:
                if self._config.upsert and self._config.server_side_apply:
                    return cluster.apply(obj, manager, force=self._forces(obj))
                return cluster.create(obj, manager, dry_run=False)
            except ApiError as error:
                if error.status != 404 or pause is None or waiter.pause(pause):
                    raise
        raise AssertionError("the last try raises")

    def _patch(self, cluster: Cluster, obj: Object, manager: str) -> Object:
        if cluster.get(obj) is None:
            raise RefusedError(f"{objects.what(obj)} does not exist, so there is nothing to patch")
        return cluster.apply(obj, manager, force=self._forces(obj))

    def _try_create(self, request: provider_pb2.CreateRequest, obj: Object, manager: str) -> Object | None:
        """What the server would make of it; None where it cannot tell yet."""
        try:
            cluster = self._reach()
            if self._config.upsert and self._config.server_side_apply:
                return cluster.apply(obj, manager, force=self._forces(obj), dry_run=True)
            return cluster.create(obj, manager, dry_run=True)
        except (UnreachableError, ConfigError) as problem:
            self._warn_once(request.urn, problem)
        except ApiError as error:
            # Its namespace or kind may come in the same `up`, an object of that name may go in it, and what is
            # forbidden to try may be allowed then.
            if error.status not in (403, 404) and error.reason != "AlreadyExists":
                raise RefusedError(_create_message(objects.what(obj), error, manager)) from None
        return None

    def _apply(
        self,
        request: provider_pb2.UpdateRequest,
        cluster: Cluster,
        obj: Object,
        before: Object,
        old: Object,
        manager: str,
    ) -> Object:
        if not self._config.server_side_apply:
            change = objects.merge_patch(old.get(_INPUTS) or {}, obj)
            return cluster.patch(obj, change, MERGE_PATCH, manager, dry_run=request.preview)
        patch = objects.is_patch(request.urn, str(obj.get("kind")))
        if not patch and not request.preview:
            before = self._adopt(cluster, before, manager)
        applied = managers.without_ignored(obj, before, manager, request.ignoreChanges)
        try:
            return cluster.apply(applied, manager, force=self._forces(obj), dry_run=request.preview)
        except ApiError as error:
            # A preview cannot take fields over first, so it looks past conflicts that the update would not have.
            if request.preview and not patch and error.status == 409 and managers.only_adopted(error, before):
                return cluster.apply(applied, manager, force=True, dry_run=True)
            raise

    def _adopt(self, cluster: Cluster, live: Object, manager: str) -> Object:
        """Takes over the fields of the managers that this resource stands for, and returns the object as it is then."""
        for _ in range(_ADOPT_TRIES):
            patch = managers.adoption(live, manager)
            if patch is None:
                return live
            try:
                return cluster.patch(live, patch, JSON_PATCH)
            except ApiError as error:
                if error.status != 409:
                    raise
                live = _newest(cluster, live)
        return live

    def _is_unready_job(self, state: Object) -> bool:
        if state.get("kind") != "Job" or self._cluster is None:
            return False
        try:
            live = self._cluster.get(state)
        except (ApiError, UnreachableError):
            return False
        return live is not None and not rules.job(live).ready

    def _waiter(self, request: _HasUrn, cluster: Cluster) -> awaits.Waiter:
        urn = request.urn

        def report(message: str, *, warning: bool = False) -> None:
            self._log(urn, message, warning=warning, lasting=warning)

        return awaits.Waiter(cluster, self._cancelled, report)

    def _warn_once(self, urn: str, problem: Exception) -> None:
        if not self._warned.is_set():
            self._warned.set()
            self._log(
                urn,
                f"{problem}; this preview does not know what the cluster says, and `pulumi up` would fail",
                warning=True,
            )

    def _log(self, urn: str, message: str, *, warning: bool = False, lasting: bool = True) -> None:
        if self._engine is None:
            return
        severity = engine_pb2.WARNING if warning else engine_pb2.INFO
        try:
            self._engine.Log(
                engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=not (warning or lasting))
            )
        except grpc.RpcError:
            return  # the engine is going away; nobody reads this any more


def _engine(address: str) -> engine_pb2_grpc.EngineStub:
    return engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))


def _is_release(urn: str) -> bool:
    """Whether a resource is Helm's: it can be previewed here, and no more."""
    return "kubernetes:helm.sh/v3:Release::" in urn


def _other_server(old: Object, new: Object) -> bool:
    """Whether two configurations with kubeconfigs of their own point to different servers; ambient ones cannot tell."""
    if not (old.get("kubeconfig") and new.get("kubeconfig")):
        return False
    before, after = _Settings.read(old).target, _Settings.read(new).target
    return before is not None and after is not None and before.server != after.server


def _named(new: Object, old: Object, request: provider_pb2.CheckRequest) -> Object:
    """The object with a name of its own making, the same as before where it had one."""
    annotations = {**(at(new, "metadata", "annotations") or {}), _AUTONAMED: "true"}
    if old:
        adopted = name_of(old) if annotation(old, _AUTONAMED) == "true" else ""
        return objects.with_metadata(new, name=adopted, annotations=annotations) if adopted else new
    options = provider_pb2.CheckRequest.AutonamingOptions
    if request.HasField("autonaming"):
        if request.autonaming.mode == options.DISABLE:
            raise RefusedError("automatic naming is disabled for this resource: set metadata.name")
        return objects.with_metadata(new, name=request.autonaming.proposed_name, annotations=annotations)
    seed = request.randomSeed or secrets.token_bytes(32)
    name = f"{request.urn.rpartition('::')[2]}-{hashlib.sha256(seed).hexdigest()[:8]}"
    return objects.with_metadata(new, name=name, annotations=annotations)


def _state(live: Object, inputs: Object, properties: Properties, manager: str, initial: str = "") -> struct_pb2.Struct:
    """What goes into the state: the live object, the inputs, who manages its fields; secret where the inputs are."""
    from pulumi.provider.experimental.property_value import PropertyValue

    state = {
        **live,
        _INPUTS: inputs,
        _MANAGER: manager,
        _INITIAL_VERSION: initial or str(inputs.get("apiVersion") or live.get("apiVersion")),
    }
    return marshal(state, properties, {_INPUTS: PropertyValue(dict(properties))})


def _newest(cluster: Cluster, live: Object) -> Object:
    try:
        return cluster.get(live) or live
    except (ApiError, UnreachableError):
        return live


def _propagation(inputs: Object) -> str:
    wanted = annotation(inputs, awaits.DELETION_PROPAGATION).lower()
    return {"orphan": "Orphan", "background": "Background"}.get(wanted, "Foreground")


def _create_message(what: str, error: ApiError, manager: str) -> str:
    if error.reason == "AlreadyExists" and "being deleted" in str(error):
        return f"{what} was not created: the one before it is still being deleted; run it again when that is gone"
    if error.reason == "AlreadyExists":
        return (
            f"{what} was not created: {error}; to manage it, import it (`pulumi import`), or change a part of it with "
            "a Patch resource"
        )
    return _conflict_message(f"{what} was not created", error, manager)


def _conflict_message(what: str, error: ApiError, manager: str) -> str:
    text = re.sub(r"\s*\n\s*", " ", str(error))
    if error.status == 409 and "conflict" in text and error.details.get("causes"):
        return (
            f'{what}: another field manager owns fields that "{manager}" sets: {text}; to take them over, set the '
            f'annotation {_PATCH_FORCE}: "true"'
        )
    return f"{what}: {text}"
