"""Property values as the engine sends them, and Kubernetes objects as plain dictionaries: both ways, secrets kept.

An object is worked on as plain data. What was secret in the inputs is put back when an answer is made, at the same
place, so that no code in between can forget it.
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import struct_pb2
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime import rpc

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON has it."""
Properties = Mapping[str, PropertyValue]
"""A property map of the engine."""

_SECRET_FIELDS: Final = ("data", "stringData")


class Unknown:
    """A value that a preview does not know yet."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN: Final = Unknown()


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for tables that read better without quotes and commas."""
    return tuple(text.split())


def unmarshal(struct: struct_pb2.Struct) -> Properties:
    """The engine's message as a property map."""
    return PropertyValue.unmarshal_map(struct)


def plain(properties: Properties) -> Object:
    """A property map as an object: without secret marks and nulls, whole numbers as int, the unknown as UNKNOWN."""
    return {_dashed(key): _plain(item) for key, item in properties.items() if item.value is not None}


def marshal(value: Object, *like: Properties) -> struct_pb2.Struct:
    """An object as the engine's message.

    Args:
        value: The object.
        *like: Property maps of the same shape; what is secret in one of them is secret in the message. The data of a
            Secret is secret in any case.
    """
    return PropertyValue.marshal_map(_marked_fields(value, [PropertyValue(dict(properties)) for properties in like]))


def has_unknown(value: object) -> bool:
    """Whether a preview does not know some part of the value yet."""
    if isinstance(value, dict):
        return any(map(has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(has_unknown, value))
    return value is UNKNOWN


def at(value: object, *keys: str) -> Any:  # noqa: ANN401 - a piece of JSON
    """The piece of an object that lies at a path, or None."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def annotation(obj: Object, name: str) -> str:
    """An annotation's value, empty where it is not set or not known."""
    value = at(obj, "metadata", "annotations", name)
    return value if isinstance(value, str) else ""


def name_of(obj: Object) -> str:
    """The object's name, empty where it has none yet."""
    name = at(obj, "metadata", "name")
    return name if isinstance(name, str) else ""


def namespace_of(obj: Object) -> str:
    """The object's namespace, empty where it has none."""
    namespace = at(obj, "metadata", "namespace")
    return namespace if isinstance(namespace, str) else ""


def _plain(item: PropertyValue) -> Any:  # noqa: ANN401 - a piece of JSON
    value = item.value
    if value == rpc.UNKNOWN:
        return UNKNOWN
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _marked(value: object, like: list[PropertyValue]) -> PropertyValue:
    """A value with the secret marks of its likes; a list with a secret anywhere in it is secret as a whole."""
    if any(each.is_secret for each in like):
        return _wrapped(value, []).with_secret(True)
    if isinstance(value, dict):
        return PropertyValue(_marked_fields(value, like))
    if any(each.contains_secret() for each in like):
        return _wrapped(value, []).with_secret(True)
    return _wrapped(value, like)


def _marked_fields(value: Object, like: list[PropertyValue]) -> dict[str, PropertyValue]:
    maps = [each.value for each in like if isinstance(each.value, Mapping)]
    fields = {}
    for key, item in value.items():
        if item is None:
            continue
        name = _underscored(key)
        marked = _marked(item, [each[name] for each in maps if name in each])
        secret = key in _SECRET_FIELDS and value.get("kind") == "Secret"
        fields[name] = marked.with_secret(True) if secret else marked
    return fields


def _wrapped(value: object, like: list[PropertyValue]) -> PropertyValue:
    if value is UNKNOWN:
        return PropertyValue(rpc.UNKNOWN)
    if isinstance(value, dict):
        return PropertyValue({_underscored(k): _wrapped(v, like) for k, v in value.items() if v is not None})
    if isinstance(value, list):
        return PropertyValue([_marked(item, []) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    if value is None or isinstance(value, bool | float | str):
        return PropertyValue(value)
    raise TypeError(f"a {type(value).__name__} is no part of an object")


# Fields such as x-kubernetes-int-or-string are no identifiers, so the SDKs write them with underscores.
def _dashed(key: str) -> str:
    return key.replace("_", "-") if key.startswith("x_kubernetes_") else key


def _underscored(key: str) -> str:
    return key.replace("-", "_") if key.startswith("x-kubernetes-") else key
