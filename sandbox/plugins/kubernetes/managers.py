"""Who owns which field of an object: what to take over from the tools that Pulumi replaces, what to leave alone."""

from collections.abc import Iterable
from typing import Any, Final

from sandbox.plugins.kubernetes.client import ApiError
from sandbox.plugins.kubernetes.values import Object, at

# Managers, by the beginning of their names, whose fields become the resource's own when it is updated: kubectl, and
# Pulumi itself, which owns what it created as an "Update" and would otherwise be in conflict with itself as an "Apply".
_ADOPTED: Final = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    ("pulumi-kubernetes", "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)


def adoption(live: Object, manager: str) -> list[Object] | None:
    """A JSON patch that hands the fields of the adopted managers to one manager; None where there are none.

    It names the object's version, so that it fails rather than undo what somebody changes in between.
    """
    entries: list[Object] = at(live, "metadata", "managedFields") or []
    ours = next((each for each in entries if each.get("manager") == manager and _is_apply(each)), None)
    adopted = [each for each in entries if _is_adopted(each) and each is not ours]
    if not adopted:
        return None
    fields: Object = {}
    for each in [*([ours] if ours else []), *adopted]:
        _merge(fields, each.get("fieldsV1") or {})
    own = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": live["apiVersion"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    kept = [each for each in entries if each is not ours and not any(each is other for other in adopted)]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [own, *kept]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": at(live, "metadata", "resourceVersion")},
    ]


def only_adopted(conflict: ApiError, live: Object) -> bool:
    """Whether a conflict is with none but managers that an update would adopt first."""
    names = {str(each.get("manager")) for each in at(live, "metadata", "managedFields") or [] if _is_adopted(each)}
    causes = [str(cause.get("message")) for cause in conflict.details.get("causes") or []]
    return bool(causes) and all(any(f'"{name}"' in cause for name in names) for cause in causes)


def without_ignored(obj: Object, live: Object, manager: str, ignored: Iterable[str]) -> Object:
    """The object to apply where changes to some fields are ignored.

    A field that only others own is left out, so that it stays theirs; any other keeps the value that it has.
    """
    entries: list[Object] = at(live, "metadata", "managedFields") or []
    applied = obj
    for path in ignored:
        keys = path.split(".")
        if any("[" in key for key in keys):
            continue
        ours = any(_owns(each, keys) for each in entries if each.get("manager") == manager)
        theirs = any(_owns(each, keys) for each in entries if each.get("manager") != manager)
        value = at(live, *keys)
        if theirs and not ours:
            applied = _set(applied, keys, None)
        elif value is not None:
            applied = _set(applied, keys, value)
    return applied


def _is_apply(entry: Object) -> bool:
    return entry.get("operation") == "Apply" and not entry.get("subresource")


def _is_adopted(entry: Object) -> bool:
    name, operation = str(entry.get("manager")), entry.get("operation")
    return not entry.get("subresource") and any(name.startswith(n) and operation == o for n, o in _ADOPTED)


def _owns(entry: Object, keys: list[str]) -> bool:
    return at(entry, "fieldsV1", *[f"f:{key}" for key in keys]) is not None


def _merge(into: Object, fields: Object) -> None:
    for key, inner in fields.items():
        _merge(into.setdefault(key, {}), inner)


def _set(obj: Object, keys: list[str], value: Any) -> Object:  # noqa: ANN401 - a piece of JSON
    key, *rest = keys
    if rest:
        inner = obj.get(key)
        return {**obj, key: _set(inner if isinstance(inner, dict) else {}, rest, value)}
    if value is None:
        return {name: each for name, each in obj.items() if name != key}
    return {**obj, key: value}
