"""Objects as plain data: which one it is, what belongs to its inputs, how the server keeps it."""

import base64
from typing import Any, Final

from sandbox.plugins.kubernetes.client import is_namespaced
from sandbox.plugins.kubernetes.values import UNKNOWN, Object, at, name_of, namespace_of, words

READ_ONLY_METADATA: Final = frozenset(
    words(
        "creationTimestamp deletionGracePeriodSeconds deletionTimestamp generation managedFields resourceVersion "
        "selfLink uid"
    )
)


def is_patch(urn: str, kind: str) -> bool:
    """Whether a resource patches an object of somebody else's: the type says so, the kind does not."""
    name = urn.split("::")[2].rpartition(":")[2] if urn.count("::") >= 3 else ""
    return name.endswith("Patch") and not kind.endswith("Patch")


def with_metadata(obj: Object, **fields: Any) -> Object:  # noqa: ANN401 - a piece of JSON
    """The object with other metadata fields."""
    return {**obj, "metadata": {**(obj.get("metadata") or {}), **fields}}


def with_data(obj: Object) -> Object:
    """A Secret as the server keeps it: its stringData as data."""
    if obj.get("kind") != "Secret" or not isinstance(obj.get("stringData"), dict):
        return obj
    encoded = {key: _encoded(value) for key, value in obj["stringData"].items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    data = obj.get("data")
    return {**rest, "data": {**(data if isinstance(data, dict) else {}), **encoded}}


def _encoded(value: object) -> object:
    return UNKNOWN if value is UNKNOWN else base64.b64encode(str(value).encode()).decode()


def canonical(obj: Object) -> Object:
    """The object with its namespace as it counts: none where its kind has none."""
    if "metadata" not in obj:
        return obj
    if is_namespaced(obj):
        return with_metadata(obj, namespace=at(obj, "metadata", "namespace") or "default")
    metadata = {key: value for key, value in obj["metadata"].items() if key != "namespace"}
    return {**obj, "metadata": metadata}


def identity(obj: Object) -> Object:
    """As much of an object as says which one it is."""
    metadata = {key: at(obj, "metadata", key) for key in ("name", "namespace") if at(obj, "metadata", key)}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


def of_type(urn: str) -> Object:
    """The kind that a resource's type means, such as `kubernetes:apps/v1:Deployment`."""
    _, module, kind = urn.split("::")[2].rpartition("$")[2].split(":")
    api_version = module.removeprefix("core/")
    return {
        "apiVersion": api_version,
        "kind": kind.removesuffix("Patch") if is_patch(urn, "") else kind,
        "metadata": {},
    }


def as_inputs(live: Object) -> Object:
    """A live object as the inputs that would make it, for an import."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in READ_ONLY_METADATA}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
    }
    metadata = {key: value for key, value in metadata.items() if key != "annotations"}
    inputs = {key: value for key, value in live.items() if key != "status"}
    return {**inputs, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}


def ident(live: Object) -> str:
    """The id of an object's resource: its name, with its namespace where it has one."""
    return "/".join(filter(None, (namespace_of(live), name_of(live))))


def what(obj: Object) -> str:
    """What to call an object in a message."""
    return f"{obj.get('kind')} {ident(obj)}"


def merge_patch(old: Object, new: Object) -> Object:
    """The JSON merge patch from the old inputs to the new."""
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            inner = merge_patch(old[key], value)
            if inner:
                patch[key] = inner
        elif old.get(key) != value:
            patch[key] = value
    return patch
