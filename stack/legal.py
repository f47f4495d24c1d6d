"""Validators of single values. Each function takes the text from the engine, and returns the parsed value.

All of them raise ValueError, whose text completes the line "pacman:key is value: ". In that text, {key} stands for the
config key.
"""

import json
import re
from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

from components import quantities
from components.images import Image
from stack import cron
from stack.targets import TARGETS, Target


def target(value: str) -> Target:
    """A row of the table of targets."""
    if value not in TARGETS:
        raise ValueError(f"must be one of {', '.join(TARGETS)}")
    return TARGETS[value]


def not_empty(value: str) -> str:
    """The name of a context."""
    if not value.strip():
        raise ValueError("must name a context; `kubectl config get-contexts` lists yours")
    return value


def _is_object_name(value: str) -> bool:
    # RFC 1123 subdomain, as Kubernetes wants the name of a StorageClass and of an IngressClass.
    return len(value) <= 253 and bool(
        re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", value)
    )


def object_name(value: str) -> str:
    """The name of a Kubernetes object."""
    if not _is_object_name(value):
        raise ValueError("must be a Kubernetes name: lower-case letters, digits, `-` and `.`, 253 characters at most")
    return value


def object_name_or_empty(value: str) -> str:
    """The name of a Kubernetes object, or nothing."""
    return value and object_name(value)


def one_of(value: str, *allowed: str) -> str:
    """One of some words, or nothing."""
    if value and value not in allowed:
        raise ValueError(f"must be {' or '.join(allowed)}, or empty")
    return value


def chart(value: str) -> str:
    """Where a Helm chart is."""
    if re.search(r"\s", value) or (":" in value and not value.startswith("oci://")):
        raise ValueError("must be a path or an address that begins with oci://")
    if re.search(r":[^/]*$", value.removeprefix("oci://")):
        raise ValueError("must have no version: the one that is known to fit is in components/ingress_controller.py")
    return value


def object_names(value: str) -> tuple[str, ...]:
    """A list of names, each once."""
    names = _json(value)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a list of names; `pulumi config set --path '{key}[0]' NAME` adds one")
    # A class that is named twice is still one class, and must not be declared twice.
    return tuple(dict.fromkeys(object_name(name) for name in names))


def namespace(value: str) -> str:
    """A namespace of its own."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
        raise ValueError("must be a DNS label: lower-case letters, digits and `-`, 63 characters at most")
    if value == "default" or value.startswith("kube-"):
        raise ValueError(
            "must be a namespace of its own, since `pulumi destroy` deletes it; default and kube-* are not"
        )
    return value


def integer(value: str, allowed: Container[int], words: str) -> int:
    """A whole number."""
    # In digits and nothing else: int() would take " 3", "1_0" and "+1", and complains of thousands of digits.
    if not re.fullmatch(r"-?[0-9]{1,9}", value) or int(value) not in allowed:
        raise ValueError(f"must be {words}")
    return int(value)


def boolean(value: str) -> bool:
    """true or false."""
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def version_line_or_empty(value: str) -> str:
    """Major and minor version, or nothing."""
    if value and not re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", value):
        raise ValueError("must be major and minor version in quotes, such as '8.0', or empty")
    return value


def volume_size(value: str) -> str:
    """The size of a volume."""
    if _quantity(value, "2Gi") < quantities.GIB:
        raise ValueError("must be 1Gi or more: journal and oplog alone take half of that")
    return value


def backup_volume_size(value: str) -> str:
    """The size of the backups' volume."""
    if _quantity(value, "1Gi") < 64 * quantities.MIB:
        raise ValueError("must be 64Mi or more")
    return value


def schedule(value: str) -> str:
    """A cron schedule as Kubernetes knows it, or nothing."""
    try:
        if value:
            cron.parse(value)
    except ValueError:
        raise ValueError(
            "must be a cron schedule of five fields (minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-6) such as"
            " 17 3 * * *, or empty for no scheduled backups"
        ) from None
    return value


def _quantity(value: str, example: str) -> Decimal:
    try:
        return quantities.parse(value)
    except ValueError:
        raise ValueError(f"must be a Kubernetes quantity such as {example}") from None


def request_and_limit(value: str, least: str) -> tuple[str, ...]:
    """`512Mi` or `512Mi/1Gi`: a request, or a request and a limit."""
    both = tuple(value.split("/"))
    sizes = [_quantity(each, f"{least}, or a request and a limit such as {least}/{least}") for each in both]
    if len(both) > 2 or sizes != sorted(sizes):
        raise ValueError("must be a request, or a request and a limit that is not less, with a slash between them")
    if sizes[0] < quantities.parse(least):
        raise ValueError(f"must be {least} or more")
    return both


def log_level(value: str) -> str:
    """A log level of the app."""
    levels = ("error", "warn", "info", "debug")
    if value not in levels:
        raise ValueError(f"must be one of {', '.join(levels)}")
    return value


_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
# Prefixes of labels and annotations by which Kubernetes, Pulumi and this program recognise objects.
_RESERVED = ("app.kubernetes.io/", "pulumi.com/", "pod-security.kubernetes.io/", "pacman/")


def annotations(value: str) -> dict[str, str]:
    """Annotations."""
    found = _json(value)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError("must be a map of names to texts; `pulumi config set --path '{key}[\"NAME\"]' VALUE` adds one")
    for name in found:
        prefix, slash, last = name.rpartition("/")
        if not last or not _LABEL.fullmatch(last) or (slash and not _is_object_name(prefix)):
            raise ValueError(f"must have names such as team or example.com/team, and {name} is not valid")
        if name.startswith(_RESERVED):
            raise ValueError(f"must not have {name}: names that begin with {', '.join(_RESERVED)} have a meaning here")
    return found


def labels(value: str) -> dict[str, str]:
    """Labels, such as those of a node."""
    found = annotations(value)
    for name, text in found.items():
        if not _LABEL.fullmatch(text):
            raise ValueError(
                f"must have values of at most 63 letters, digits, `-`, `_`, `.`; {json.dumps(text)} of {name} is not"
                " valid"
            )
    return found


def tolerations(value: str) -> tuple[Mapping[str, Any], ...]:
    """Tolerations, with Kubernetes' own fields."""
    known = {"key": str, "operator": str, "value": str, "effect": str, "tolerationSeconds": int}
    found = _json(value)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("must be a list of tolerations, such as [{key: dedicated, value: games, effect: NoSchedule}]")
    for each in found:
        wrong = sorted(key for key, its in each.items() if key not in known or not isinstance(its, known[key]))
        if wrong:
            what = f"must be tolerations with the fields {', '.join(known)}"
            raise ValueError(f"{what}; {', '.join(wrong)}: unknown, or of another type")
        if each.get("operator", "Equal") not in ("Equal", "Exists"):
            raise ValueError("must be tolerations whose operator is Equal or Exists")
        if each.get("effect", "NoSchedule") not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            raise ValueError("must be tolerations whose effect is NoSchedule, PreferNoSchedule or NoExecute")
        if "key" not in each and each.get("operator") != "Exists":
            raise ValueError("must be tolerations with a key, or with operator Exists for every taint")
    return tuple(found)


def docker_config(value: str) -> str:
    """The text of a Docker config.json with credentials, or nothing."""
    if not value:
        return value
    found = _json(value)
    if not isinstance(found, dict) or not isinstance(found.get("auths"), dict) or not found["auths"]:
        raise ValueError(
            "must be the text of a Docker config.json whose auths hold the credentials (not a credential helper)"
        )
    return value


def image(value: str, check: Callable[[Image], None]) -> str:
    """A pinned image that passes a further check."""
    check(Image.parse(value))
    return value


def host(value: str) -> str:
    """A host name, or nothing."""
    if value == "":
        return value
    if _is_address(value):
        raise ValueError("must be a name; leave it empty and the Ingress answers on its bare address")
    if re.search(r"[:/]", value):
        raise ValueError("must be a bare host name: no scheme, no port, no path")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*", value):
        raise ValueError("must be a host name in lower case, such as pacman.example")
    if len(value) > 253:
        raise ValueError("must be a host name of 253 characters at most")
    return value


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _json(value: str) -> Any:  # noqa: ANN401 - any JSON
    """A list or a map as the engine hands it over; None if the text is no JSON."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return None
