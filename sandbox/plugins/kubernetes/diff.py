"""What changed between the old inputs and the new, and which changes an object cannot take in place."""

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from sandbox.plugins.kubernetes.values import UNKNOWN, Object, at, words

Path = tuple[str | int, ...]
"""Where in an object a value lies: keys and list indexes."""


class Change(Enum):
    """What happened to one value."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


_IDENTITY: Final = ("metadata.name", "metadata.namespace")
_CONTAINER: Final = words(
    "args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources "
    "securityContext stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices "
    "volumeMounts workingDir"
)
_POD: Final = words(
    "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC hostNetwork "
    "hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority priorityClassName "
    "readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount "
    "serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds volumes"
)
# Per kind, without API version: each of these kinds has one version that a cluster of today serves.
_FORCE_NEW: Final[dict[str, Sequence[str]]] = {
    "ClusterRoleBinding": ["roleRef"],
    "ConfigMap": ["data", "binaryData"],
    "Deployment": ["spec.selector"],
    "Job": ["spec.completions", "spec.parallelism", "spec.selector", "spec.template"],
    "PersistentVolumeClaim": ["spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"],
    "Pod": [f"spec.{field}" for field in _POD]
    + [f"spec.{kind}.*.{field}" for kind in ("containers", "initContainers") for field in _CONTAINER],
    "ResourceQuota": ["spec.scopes"],
    "RoleBinding": ["roleRef"],
    "Secret": ["type", "data", "stringData"],
    "Service": ["spec.clusterIP"],
    "StatefulSet": [
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ],
    "StorageClass": ["parameters", "provisioner"],
}
_BUILT_IN_GROUP: Final = re.compile(r"^([^.]*|[a-z.]+\.k8s\.io)$")

# Maps whose values are quantities: resources, capacities, quotas, limit ranges.
_QUANTITY_MAPS: Final = {
    "limits",
    "requests",
    "capacity",
    "hard",
    "min",
    "max",
    "default",
    "defaultRequest",
    "overhead",
}
_QUANTITY_FIELDS: Final = {"sizeLimit", "divisor", "averageValue", "value"}
_QUANTITY: Final = re.compile(r"^([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|(m|u|n|k|[KMGTPE]i?))?$")
_UNITS: Final = {"n": Decimal(10) ** -9, "u": Decimal(10) ** -6, "m": Decimal(10) ** -3, "k": Decimal(10) ** 3} | {
    prefix + suffix: Decimal(base) ** power
    for power, prefix in enumerate("KMGTPE", start=1)
    for suffix, base in (("i", 1024), ("", 1000))
    if prefix + suffix != "K"
}


def force_new(obj: Object, *, patch: bool, mutable: Sequence[str] = ()) -> Sequence[str]:
    """The paths of an object whose change replaces it; a `*` stands for any list index.

    Args:
        obj: The new inputs.
        patch: Whether they patch somebody else's object: such a resource is only replaced with its target.
        mutable: Kinds (ConfigMap, Secret) whose data the provider is set to update in place.
    """
    kind = str(obj.get("kind"))
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    if patch or not _BUILT_IN_GROUP.match(group) or (kind in mutable and obj.get("immutable") is not True):
        return _IDENTITY
    return (*_IDENTITY, *_FORCE_NEW.get(kind, ()))


def changes(old: Object, new: Object) -> dict[Path, Change]:
    """The values that differ, each by its path; lists are compared element by element."""
    return dict(_changes(old, new, ()))


def replaces(path: Path, value: object, rules: Sequence[str]) -> bool:
    """Whether a change at a path replaces the object: it lies at, under or around a path that forces it.

    Args:
        path: Where the change is.
        value: The new value, or the old one where it was deleted: the change may bring a whole tree.
        rules: What `force_new` gave.
    """
    return any(_touches(path, value, rule.split(".")) for rule in rules)


def render(path: Path) -> str:
    """A path in the engine's notation, such as `spec.ports[0].name` or `metadata.labels["app.kubernetes.io/name"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.search(r'[."\[\]]', step):
            text += '["{}"]'.format(step.replace('"', '\\"'))
        else:
            text += f".{step}" if text else step
    return text


def value_at(obj: Object, path: Path) -> Any:  # noqa: ANN401 - a piece of JSON
    """The value at a path, None where there is none."""
    value: Any = obj
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = at(value, step)
    return value


def prune(live: Object, shape: Object) -> Object:
    """What a live object has for the values that the inputs set, so that drift in them shows and nothing else does.

    A value that the server merely writes in another way (`500m` for `0.5`), or leaves out because it is empty, stays as
    the inputs have it.
    """
    return _pruned_fields(live, shape, ())


def _changes(old: object, new: object, path: Path) -> Iterator[tuple[Path, Change]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in new:
                yield (*path, key), Change.DELETE
            elif key not in old:
                yield (*path, key), Change.ADD
            else:
                yield from _changes(old[key], new[key], (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            if index >= len(new):
                yield (*path, index), Change.DELETE
            elif index >= len(old):
                yield (*path, index), Change.ADD
            else:
                yield from _changes(old[index], new[index], (*path, index))
    elif not _same(old, new, path):
        yield path, Change.UPDATE


def _same(one: object, other: object, path: Path) -> bool:
    if one is UNKNOWN or other is UNKNOWN:
        return False
    if one == other and isinstance(one, bool) == isinstance(other, bool):
        return True
    if not _holds_quantity(path):
        return False
    first, second = _quantity(one), _quantity(other)
    return first is not None and first == second


def _holds_quantity(path: Path) -> bool:
    return (len(path) > 1 and path[-2] in _QUANTITY_MAPS) or (bool(path) and path[-1] in _QUANTITY_FIELDS)


def _quantity(value: object) -> Decimal | None:
    match = _QUANTITY.match(str(value)) if isinstance(value, str | int | float) else None
    if match is None:
        return None
    number, exponent, unit = match.groups()
    try:
        return Decimal(number + (exponent or "")) * _UNITS.get(unit or "", Decimal(1))
    except InvalidOperation:
        return None


def _touches(path: Path, value: object, rule: Sequence[str]) -> bool:
    for depth, step in enumerate(rule):
        if depth == len(path):
            return _contains(value, rule[depth:])
        if step != "*" and step != path[depth]:
            return False
    return True


def _contains(value: object, rule: Sequence[str]) -> bool:
    if not rule:
        return True
    if rule[0] == "*":
        return isinstance(value, list) and any(_contains(each, rule[1:]) for each in value)
    return isinstance(value, dict) and rule[0] in value and _contains(value[rule[0]], rule[1:])


def _pruned(live: object, shape: object, path: Path) -> object:
    if isinstance(shape, dict) and isinstance(live, dict):
        return _pruned_fields(live, shape, path)
    if isinstance(shape, list) and isinstance(live, list):
        find = _pairing(live)
        pairs = [(index, wanted, find(index, wanted)) for index, wanted in enumerate(shape)]
        return [_pruned(found, wanted, (*path, index)) for index, wanted, found in pairs if found is not None]
    return shape if _same(live, shape, path) else live


def _pruned_fields(live: Object, shape: Object, path: Path) -> Object:
    kept: Object = {}
    for key, wanted in shape.items():
        if key in live:
            kept[key] = _pruned(live[key], wanted, (*path, key))
        elif not wanted:
            kept[key] = wanted
    return kept


def _pairing(live: list[object]) -> Callable[[int, object], object]:
    """Finds the live element of a wanted one: by name, as the server merges such lists, else by place."""
    by_name = {each["name"]: each for each in live if isinstance(each, dict) and "name" in each}

    def find(index: int, wanted: object) -> object:
        if isinstance(wanted, dict) and "name" in wanted and len(by_name) == len(live):
            return by_name.get(wanted["name"])
        return live[index] if index < len(live) else None

    return find
