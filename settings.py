"""The stack's config as one frozen value, checked as a whole before anything is declared.

`Pulumi.yaml` has the type, the meaning and the default of every key; this file has what a type cannot say. The name of
a field in camelCase is its config key.
"""

import difflib
import json
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, TypeVar

import pulumi

import images
from components import NewStorageClass
from targets import TARGETS, Target

PROJECT = "pacman"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one stack deploys. Every value is legal, and they fit each other."""

    target: Target
    """The kind of cluster; a row of `targets.TARGETS`."""
    context: str
    """The kubeconfig context to deploy to, never empty."""
    namespace: str
    """The namespace to make, a DNS label that is not one of the cluster's own."""
    default_storage_class: str
    """The class to make the cluster's default; "" to leave the default alone."""
    demote_storage_classes: tuple[str, ...]
    """Classes to take the default mark from; empty where the default is left alone."""
    mongo_image: str
    """A pinned image of a MongoDB line that is maintained."""
    mongo_members: int
    """1, 3 or 5."""
    mongo_spread: str
    """`prefer` or `require`: members on different nodes."""
    mongo_volume_size: str
    """A Kubernetes quantity, 1Gi or more."""
    mongo_storage_class: str
    """The class of the volumes, never empty."""
    pacman_image: str
    """A pinned image that can work with `mongo_image`."""
    pacman_replicas: int
    """1 to 100."""
    pacman_max_replicas: int
    """From `pacman_replicas` to 100, or 0 for no autoscaler."""
    pacman_location: bool
    """Whether Pacman may read its node."""
    ingress_host: str
    """A host name in lower case; "" for every name."""
    ingress_class: str
    """The IngressClass, never empty."""
    ingress_controller: str
    """`existing` or `install`."""
    ingress_chart: str
    """Where the controller's chart is; "" exactly where the controller exists."""
    ingress_scope: str
    """`public` or `private` where the program installs the controller, else ""."""
    ingress_tls_secret: str
    """The Secret of the certificate; "" for plain HTTP."""
    ingress_tls_issuer: str
    """The ClusterIssuer that makes the certificate; "" where somebody else does."""

    @property
    def new_storage_class(self) -> NewStorageClass | None:
        """What the default class is made of where the program makes it; None where it has to be there."""
        own = self.target.default_storage_class.format(namespace=self.namespace)
        return self.target.new_storage_class if self.default_storage_class == own else None

    @property
    def controller_name(self) -> str:
        """Namespace and Helm release of a controller that the program installs."""
        return f"{self.namespace}-ingress"


def load(config: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings of the running stack, or of a given config.

    Args:
        config: Config as the engine hands it over: `pacman:key` to a string (lists as JSON), with
            Pulumi.yaml's defaults.

    Raises:
        pulumi.RunError: One line for every key that is wrong, with its value and what is allowed.
    """
    given = _running_config() if config is None else config
    reader = _Reader(
        {key.removeprefix(f"{PROJECT}:"): value for key, value in given.items() if key.startswith(f"{PROJECT}:")}
    )
    reader.refuse_unknown()

    target = reader.get("target", _target)
    namespace = reader.get("namespace", _namespace)
    values: dict[str, Any] = {
        "target": target,
        "context": reader.get("context", _not_empty),
        "namespace": namespace,
        "mongo_image": reader.get("mongoImage", lambda v: _image(v, images.check_mongo)),
        "mongo_members": reader.get("mongoMembers", lambda v: _integer(v, {0, 1, 3, 5}, "1, 3 or 5, or 0"))
        or (target and target.mongo_members),
        "mongo_spread": reader.get("mongoSpread", lambda v: _one_of(v, "prefer", "require"))
        or (target and target.mongo_spread),
        "mongo_volume_size": reader.get("mongoVolumeSize", _volume_size),
        "pacman_image": reader.get("pacmanImage", lambda v: _image(v, images.check_pacman)),
        "pacman_location": reader.get("pacmanLocation", _boolean),
        **_storage_classes(reader, target, namespace),
        **_replicas(reader),
        **_ingress(reader, target, namespace),
    }
    if reader.problems:
        raise pulumi.RunError("\n".join(reader.problems))
    return Settings(**values)


def keys() -> list[str]:
    """The config keys that the program reads, as Pulumi.yaml has to declare them."""
    return [re.sub(r"_(.)", lambda m: m[1].upper(), field.name) for field in fields(Settings)]


def _storage_classes(reader: "_Reader", target: Target | None, namespace: str | None) -> dict[str, Any]:
    default = reader.get("defaultStorageClass", lambda v: v if v in ("", "none") else _object_name(v))
    volumes = reader.get("mongoStorageClass", _object_name_or_empty)
    # A class is made for the volumes, so where they have another one there is nothing to make.
    if target and default == "" and not (target.new_storage_class and volumes):
        default = target.default_storage_class.format(namespace=namespace)
    default = "" if default == "none" else default
    demoted = reader.get("demoteStorageClasses", _object_names)
    if default and demoted and default in demoted:
        reader.fail(
            "demoteStorageClasses", default, "must not hold the class that defaultStorageClass makes the default"
        )
    if target and volumes == "":
        volumes = default or target.storage_class
        if not volumes and default is not None:
            reader.fail("mongoStorageClass", "", f"must name a StorageClass on target {target.name}")
    return {
        "default_storage_class": default,
        "demote_storage_classes": demoted if default else (),
        "mongo_storage_class": volumes,
    }


def _replicas(reader: "_Reader") -> dict[str, Any]:
    least = reader.get("pacmanReplicas", lambda v: _integer(v, range(1, 101), "a number from 1 to 100"))
    most = reader.get("pacmanMaxReplicas", lambda v: _integer(v, range(101), "a number from 1 to 100, or 0"))
    if least and most and most < least:
        reader.fail("pacmanMaxReplicas", str(most), f"must not be less than pacmanReplicas, which is {least}")
    return {"pacman_replicas": least, "pacman_max_replicas": most}


def _ingress(reader: "_Reader", target: Target | None, namespace: str | None) -> dict[str, Any]:
    host = reader.get("ingressHost", _host)
    ingress_class = reader.get("ingressClass", _object_name_or_empty)
    controller = reader.get("ingressController", lambda v: _one_of(v, "existing", "install"))
    chart = reader.get("ingressChart", _chart)
    scope = reader.get("ingressScope", lambda v: _one_of(v, "public", "private"))
    secret = reader.get("ingressTlsSecret", _object_name_or_empty)
    issuer = reader.get("ingressTlsIssuer", _object_name_or_empty)

    if target and controller == "":
        controller = target.ingress_controller
    if target and controller == "install":
        if chart == "":
            reader.fail(
                "ingressChart",
                chart,
                "must say where the chart is, since ingressController is install: a path or oci://",
            )
        # A release's name has 53 characters at most (Helm), of which "-ingress" takes 8.
        if namespace and len(namespace) > 45:
            reader.fail("namespace", namespace, "must have 45 characters at most where ingressController is install")
        if scope is not None and (scope or "private") not in target.load_balancers:
            reason = f"must be public on target {target.name}: no way is known to make a load balancer private there"
            reader.fail("ingressScope", scope, reason)
        scope = scope or "private"
    elif controller == "existing":
        for key, value in (("ingressChart", chart), ("ingressScope", scope)):
            if value:
                reader.fail(key, value, "must be empty where ingressController is existing: it is its owner's to say")
    if ingress_class == "":
        ingress_class = f"{namespace}-nginx" if controller == "install" else "nginx"

    for key, value in (("ingressTlsSecret", secret), ("ingressTlsIssuer", issuer)):
        if value and host == "":
            reader.fail(key, value, "needs ingressHost: a certificate is for a name")
    if issuer and secret == "":
        secret = "pacman-tls"  # noqa: S105 - the name of a Secret, not what is in it
    return {
        "ingress_host": host,
        "ingress_class": ingress_class,
        "ingress_controller": controller,
        "ingress_chart": chart,
        "ingress_scope": scope,
        "ingress_tls_secret": secret,
        "ingress_tls_issuer": issuer,
    }


def _running_config() -> Mapping[str, str]:
    # The SDK has no public way to list keys, and a key that nobody reads is a typing error to report, not to ignore.
    return {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}


class _Reader:
    """Turns config strings into values and collects what is wrong with them, so that one run shows all of it."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.problems: list[str] = []

    def fail(self, key: str, value: object, allowed: str) -> None:
        self.problems.append(f"{PROJECT}:{key} is {json.dumps(value)}: {allowed}")

    def get(self, key: str, parse: Callable[[str], T]) -> T | None:
        """The parsed value, or None where it is missing or wrong, which is then in `problems`."""
        value = self._given.get(key)
        if value is None:
            self.problems.append(f"{PROJECT}:{key} is not set, and Pulumi.yaml has no default for it")
            return None
        try:
            return parse(value)
        except ValueError as problem:
            self.fail(key, value, str(problem))
            return None

    def refuse_unknown(self) -> None:
        known = keys()
        for key in sorted(set(self._given) - set(known)):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"
            self.problems.append(f"{PROJECT}:{key} is not a config key; {hint}")


def _target(value: str) -> Target:
    if value not in TARGETS:
        raise ValueError(f"must be one of {', '.join(TARGETS)}")
    return TARGETS[value]


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must name a context; `kubectl config get-contexts` lists yours")
    return value


def _object_name(value: str) -> str:
    # RFC 1123 subdomain, as Kubernetes wants the name of a StorageClass and of an IngressClass.
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", value) or len(value) > 253:
        raise ValueError("must be a Kubernetes name: lower-case letters, digits, `-` and `.`, 253 characters at most")
    return value


def _object_name_or_empty(value: str) -> str:
    return value and _object_name(value)


def _one_of(value: str, *allowed: str) -> str:
    if value and value not in allowed:
        raise ValueError(f"must be {' or '.join(allowed)}, or empty")
    return value


def _chart(value: str) -> str:
    if re.search(r"\s", value) or (":" in value and not value.startswith("oci://")):
        raise ValueError("must be a path or an address that begins with oci://")
    if re.search(r":[^/]*$", value.removeprefix("oci://")):
        raise ValueError("must have no version: the one that is known to fit is in components/ingress_controller.py")
    return value


def _object_names(value: str) -> tuple[str, ...]:
    try:
        names = json.loads(value)
    except json.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "must be a list of names; `pulumi config set --path 'demoteStorageClasses[0]' standard` adds one"
        )
    # A class that is named twice is still one class, and must not be declared twice.
    return tuple(dict.fromkeys(_object_name(name) for name in names))


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
        raise ValueError("must be a DNS label: lower-case letters, digits and `-`, 63 characters at most")
    if value == "default" or value.startswith("kube-"):
        raise ValueError(
            "must be a namespace of its own, since `pulumi destroy` deletes it; default and kube-* are not"
        )
    return value


def _integer(value: str, allowed: Container[int], words: str) -> int:
    # In digits and nothing else: int() would take " 3", "1_0" and "+1", and complains of thousands of digits.
    if not re.fullmatch(r"-?[0-9]{1,9}", value) or int(value) not in allowed:
        raise ValueError(f"must be {words}")
    return int(value)


def _boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


_UNITS = {"": 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
_DECIMAL_UNITS = {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15}


def _volume_size(value: str) -> str:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", value)
    unit = match[2] if match else None
    if match is None or (unit not in _UNITS and unit not in _DECIMAL_UNITS):
        raise ValueError("must be a Kubernetes quantity such as 2Gi")
    factor = 2 ** _UNITS[unit] if unit in _UNITS else 10 ** _DECIMAL_UNITS[str(unit)]
    if Decimal(match[1]) * factor < 2**30:
        raise ValueError("must be 1Gi or more: journal and oplog alone take half of that")
    return value


def _image(value: str, check: Callable[[images.Image], None]) -> str:
    check(images.Image.parse(value))
    return value


def _host(value: str) -> str:
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
