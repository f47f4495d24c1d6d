"""Reads and validates config: returns one frozen value, before the program declares anything.

`Pulumi.yaml` has type, description and default of every key. This file checks what a type cannot say. The config key of
a field is its name in camelCase.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import pulumi
import yaml

from components.default_storage_class import NewStorageClass
from stack import images, legal
from stack.targets import Target

PROJECT = "pacman"
"""Config namespace of the keys in Pulumi.*.yaml."""
_DECLARATIONS = Path(__file__).parents[1] / "Pulumi.yaml"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one stack deploys. Every value is legal, and they fit each other."""

    target: Target
    """The kind of cluster; a row of `targets.TARGETS`."""
    context: str
    """The kubeconfig context to deploy to, never empty."""
    namespace: str
    """The namespace, a DNS label that is not one of the cluster's own."""
    create_namespace: bool
    """Whether the program creates it."""
    labels: Mapping[str, str]
    """Labels of every object and pod, besides the program's own."""
    annotations: Mapping[str, str]
    """Annotations of every object and pod, besides the program's own."""
    image_pull_secrets: tuple[str, ...]
    """Secrets in the namespace with the credentials of registries."""
    image_pull_config: str = field(repr=False)
    """The text of a Docker config.json with `auths`, a secret; "" for none."""
    node_selector: Mapping[str, str]
    """Labels of the nodes on which pods may run."""
    tolerations: tuple[Mapping[str, Any], ...]
    """The taints that pods tolerate, each with the fields of a Kubernetes toleration."""
    default_storage_class: str
    """The class to make the cluster's default; "" to leave the default alone."""
    demote_storage_classes: tuple[str, ...]
    """Classes to take the default mark from; empty where the default is left alone."""
    mongo_image: str
    """A pinned image of a MongoDB line that is maintained."""
    mongo_members: int
    """1, 3 or 5."""
    mongo_feature_compatibility: str
    """The featureCompatibilityVersion to set, such as `8.0`; "" keeps what the data have."""
    password_rotation: int
    """How often the passwords have been changed, 0 or more."""
    deletion_protection: str
    """`enabled` or `disabled`: whether `pulumi destroy`, and a change, may delete the data."""
    mongo_spread: str
    """`prefer` or `require`: members on different nodes."""
    mongo_volume_size: str
    """A Kubernetes quantity, 1Gi or more."""
    mongo_storage_class: str
    """The class of the volumes, never empty."""
    mongo_memory: tuple[str, ...]
    """Memory of a member: request, and limit where it is another."""
    mongo_cpu: tuple[str, ...]
    """CPU of a member: request, and limit where there is one."""
    backup_schedule: str
    """A cron schedule in UTC; "" for no backups but those that somebody asks for."""
    backup_keep: int
    """1 to 1000."""
    backup_volume_size: str
    """A Kubernetes quantity, 64Mi or more."""
    backup_claim: str
    """The claim for the backups; "" for one of the program's own."""
    backup_snapshot_class: str
    """The VolumeSnapshotClass for snapshots of the members' volumes; "" for no snapshots."""
    pacman_image: str
    """A pinned image that can work with `mongo_image`."""
    pacman_replicas: int
    """1 to 100."""
    pacman_max_replicas: int
    """From `pacman_replicas` to 100, or 0 for no autoscaler."""
    pacman_location: bool
    """Whether Pacman may read its node."""
    pacman_memory: tuple[str, ...]
    """Memory of a pod: request, and limit where it is another."""
    pacman_cpu: tuple[str, ...]
    """CPU of a pod: request, and limit where there is one."""
    pacman_log_level: str
    """`error`, `warn`, `info` or `debug`."""
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
    ingress_rate_limit: int
    """Requests per second and client address, 0 for no limit."""
    ingress_tls_secret: str
    """The Secret of the certificate; "" for plain HTTP."""
    ingress_tls_issuer: str
    """The ClusterIssuer that makes the certificate; "" where somebody else does."""

    @property
    def new_storage_class(self) -> NewStorageClass | None:
        """Provisioner and parameters if the program creates the class; None if the class must exist."""
        own = self.target.default_storage_class.format(namespace=self.namespace)
        new = self.target.new_storage_class
        if new is None or self.default_storage_class != own:
            return None
        return replace(new, reclaim_policy="Retain") if self.protect else new

    @property
    def protect(self) -> bool:
        """Whether the data are protected against deletion."""
        return self.deletion_protection == "enabled"

    @property
    def controller_name(self) -> str:
        """Namespace and Helm release of a controller that the program installs."""
        return f"{self.namespace}-ingress"


class Reader:
    """Parses config strings and collects every error, so that one run shows all of them."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.problems: list[str] = []
        """One line for each."""

    def fail(self, key: str, value: object, allowed: str) -> None:
        """Adds an error: key, value, and what is allowed."""
        # The engine hands lists and maps over as JSON already.
        shown = value if isinstance(value, str) and value[:1] in ("[", "{") else json.dumps(value)
        self.problems.append(f"{PROJECT}:{key} is {shown}: {allowed.replace('{key}', key)}")

    def get(self, key: str, parse: Callable[[str], T], *, secret: bool = False) -> T | None:
        """Returns the parsed value. If it is missing or wrong, adds an error to `problems` and returns None.

        The error does not show a secret value.
        """
        value = self._given.get(key)
        if value is None:
            self.problems.append(f"{PROJECT}:{key} is not set, and Pulumi.yaml has no default for it")
            return None
        try:
            return parse(value)
        except ValueError as problem:
            self.fail(key, "(secret)" if secret else value, str(problem))
            return None

    def refuse_unknown(self) -> None:
        """Adds an error for each key that the program does not read: it is a typing error."""
        known = keys()
        for key in sorted(set(self._given) - set(known)):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"
            self.problems.append(f"{PROJECT}:{key} is not a config key; {hint}")


def load(config: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings of the running stack, or of a given config.

    Args:
        config: Config as the engine hands it over: `pacman:key` to a string (lists as JSON), with
            Pulumi.yaml's defaults.

    Raises:
        pulumi.RunError: One line for every key that is wrong, with its value and what is allowed.
    """
    given = _running_config() if config is None else config
    reader = Reader(_of_this_project(given))
    reader.problems += _set_twice(given)
    reader.refuse_unknown()

    target = reader.get("target", legal.target)
    namespace = reader.get("namespace", legal.namespace)
    values: dict[str, Any] = {
        "target": target,
        "context": reader.get("context", legal.not_empty),
        "namespace": namespace,
        "create_namespace": reader.get("createNamespace", legal.boolean),
        "labels": reader.get("labels", legal.labels),
        "annotations": reader.get("annotations", legal.annotations),
        **_pods(reader),
        **_mongo(reader, target),
        **_backup(reader),
        "pacman_image": reader.get("pacmanImage", lambda v: legal.image(v, images.check_pacman)),
        "pacman_location": reader.get("pacmanLocation", legal.boolean),
        "pacman_memory": reader.get("pacmanMemory", lambda v: legal.request_and_limit(v, "64Mi")),
        "pacman_cpu": reader.get("pacmanCpu", lambda v: legal.request_and_limit(v, "1m")),
        "pacman_log_level": reader.get("pacmanLogLevel", legal.log_level),
        **_storage_classes(reader, target, namespace),
        **_replicas(reader),
        **_ingress(reader, target, namespace),
    }
    if values["image_pull_config"] and config is None and not _is_encrypted("imagePullConfig"):
        reader.problems.append(
            f"{PROJECT}:imagePullConfig is not encrypted: `pulumi config set --secret imagePullConfig < config.json`"
            " encrypts it; change the credentials if anybody else can read the stack file"
        )
    if reader.problems:
        raise pulumi.RunError("\n".join(reader.problems))
    return Settings(**values)


def _is_encrypted(key: str) -> bool:
    """Whether the stack file has the key as a secret."""
    return any(
        pulumi.runtime.config.is_config_secret(f"{project}:{key}") for project in (pulumi.get_project(), PROJECT)
    )


def _of_this_project(given: Mapping[str, str]) -> dict[str, str]:
    """The program's keys without their namespace.

    Pulumi.yaml declares them under the project's name. If somebody renames the project, the keys `pacman:…` of the
    stack files still count. They override the defaults, because a person wrote them.
    """
    return _without_namespace(given, pulumi.get_project()) | _without_namespace(given, PROJECT)


def _without_namespace(given: Mapping[str, str], namespace: str) -> dict[str, str]:
    return {key.removeprefix(f"{namespace}:"): value for key, value in given.items() if key.startswith(f"{namespace}:")}


def _set_twice(given: Mapping[str, str]) -> list[str]:
    """One line for each key that a stack of a renamed project sets to two values, as `acme:key` and as `pacman:key`.

    The engine adds the defaults of Pulumi.yaml as `acme:key`. So if `acme:key` has the default, `pacman:key` overrides
    it, even if a person wrote both.
    """
    project = pulumi.get_project()
    own, committed = _without_namespace(given, project), _without_namespace(given, PROJECT)
    differ = sorted(key for key in own.keys() & committed.keys() if own[key] != committed[key])
    if not differ:
        return []
    declared = yaml.safe_load(_DECLARATIONS.read_text())["config"]
    return [
        f"{project}:{key} and {PROJECT}:{key} have different values: set only one of them;"
        f" `pulumi config rm {PROJECT}:{key}` removes the second"
        for key in differ
        if own[key] != _as_the_engine_passes(declared.get(key, {}).get("default"))
    ]


def _as_the_engine_passes(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default, separators=(",", ":"))


def keys() -> list[str]:
    """The config keys that the program reads, as Pulumi.yaml has to declare them."""
    return [re.sub(r"_(.)", lambda m: m[1].upper(), field.name) for field in fields(Settings)]


def _pods(reader: Reader) -> dict[str, Any]:
    return {
        "image_pull_secrets": reader.get("imagePullSecrets", legal.object_names),
        "image_pull_config": reader.get("imagePullConfig", legal.docker_config, secret=True),
        "node_selector": reader.get("nodeSelector", legal.labels),
        "tolerations": reader.get("tolerations", legal.tolerations),
    }


def _mongo(reader: Reader, target: Target | None) -> dict[str, Any]:
    members = reader.get("mongoMembers", lambda v: legal.integer(v, {0, 1, 3, 5}, "1, 3 or 5, or 0"))
    spread = reader.get("mongoSpread", lambda v: legal.one_of(v, "prefer", "require"))
    protection = reader.get("deletionProtection", lambda v: legal.one_of(v, "enabled", "disabled"))
    return {
        "mongo_image": reader.get("mongoImage", lambda v: legal.image(v, images.check_mongo)),
        "mongo_members": members or (target and target.mongo_members),
        "mongo_feature_compatibility": reader.get("mongoFeatureCompatibility", legal.version_line_or_empty),
        "password_rotation": reader.get(
            "passwordRotation", lambda v: legal.integer(v, range(100_001), "a number from 0 to 100000")
        ),
        "deletion_protection": protection or (target and target.deletion_protection),
        "mongo_spread": spread or (target and target.mongo_spread),
        "mongo_volume_size": reader.get("mongoVolumeSize", legal.volume_size),
        "mongo_memory": reader.get("mongoMemory", lambda v: legal.request_and_limit(v, "512Mi")),
        "mongo_cpu": reader.get("mongoCpu", lambda v: legal.request_and_limit(v, "1m")),
    }


def _backup(reader: Reader) -> dict[str, Any]:
    return {
        "backup_schedule": reader.get("backupSchedule", legal.schedule),
        "backup_keep": reader.get("backupKeep", lambda v: legal.integer(v, range(1, 1001), "a number from 1 to 1000")),
        "backup_volume_size": reader.get("backupVolumeSize", legal.backup_volume_size),
        "backup_claim": reader.get("backupClaim", legal.object_name_or_empty),
        "backup_snapshot_class": reader.get("backupSnapshotClass", legal.object_name_or_empty),
    }


def _storage_classes(reader: Reader, target: Target | None, namespace: str | None) -> dict[str, Any]:
    default = reader.get("defaultStorageClass", lambda v: v if v in ("", "none") else legal.object_name(v))
    volumes = reader.get("mongoStorageClass", legal.object_name_or_empty)
    own = target.default_storage_class.format(namespace=namespace) if target else ""
    creates = bool(target and target.new_storage_class)
    # Do not create the default class if mongoStorageClass names another one: it would have no volumes.
    if default == "" and (not creates or volumes in ("", own)):
        default = own
    if creates and default is not None and volumes == own != default:
        # Pulumi would delete it, and with it the way to grow or to replace a volume.
        reader.fail("defaultStorageClass", default, f"must be empty, since the volumes have the class {own}")
    default = "" if default == "none" else default
    demoted = reader.get("demoteStorageClasses", legal.object_names)
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


def _replicas(reader: Reader) -> dict[str, Any]:
    least = reader.get("pacmanReplicas", lambda v: legal.integer(v, range(1, 101), "a number from 1 to 100"))
    most = reader.get("pacmanMaxReplicas", lambda v: legal.integer(v, range(101), "a number from 1 to 100, or 0"))
    if least and most and most < least:
        reader.fail("pacmanMaxReplicas", str(most), f"must not be less than pacmanReplicas, which is {least}")
    return {"pacman_replicas": least, "pacman_max_replicas": most}


def _ingress(reader: Reader, target: Target | None, namespace: str | None) -> dict[str, Any]:
    host = reader.get("ingressHost", legal.host)
    rate = reader.get("ingressRateLimit", lambda v: legal.integer(v, range(100_001), "a number from 1 to 100000, or 0"))
    secret = reader.get("ingressTlsSecret", legal.object_name_or_empty)
    issuer = reader.get("ingressTlsIssuer", legal.object_name_or_empty)
    for key, value in (("ingressTlsSecret", secret), ("ingressTlsIssuer", issuer)):
        if value and host == "":
            reader.fail(key, value, "needs ingressHost: a certificate is for a name")
    if issuer and secret == "":
        secret = "pacman-tls"  # noqa: S105 - the name of a Secret, not what is in it
    return {
        "ingress_host": host,
        "ingress_rate_limit": rate,
        "ingress_tls_secret": secret,
        "ingress_tls_issuer": issuer,
        **_controller(reader, target, namespace),
    }


def _controller(reader: Reader, target: Target | None, namespace: str | None) -> dict[str, Any]:
    ingress_class = reader.get("ingressClass", legal.object_name_or_empty)
    controller = reader.get("ingressController", lambda v: legal.one_of(v, "existing", "install"))
    chart = reader.get("ingressChart", legal.chart)
    scope = reader.get("ingressScope", lambda v: legal.one_of(v, "public", "private"))
    if target and controller == "":
        controller = target.ingress_controller
    if target and controller == "install":
        _check_installed(reader, target, namespace, chart, scope)
        scope = scope or "private"
    elif controller == "existing":
        for key, value in (("ingressChart", chart), ("ingressScope", scope)):
            if value:
                reader.fail(key, value, "must be empty where ingressController is existing: its owner decides that")
    if ingress_class == "":
        ingress_class = f"{namespace}-nginx" if controller == "install" else "nginx"
    return {
        "ingress_class": ingress_class,
        "ingress_controller": controller,
        "ingress_chart": chart,
        "ingress_scope": scope,
    }


def _check_installed(
    reader: Reader, target: Target, namespace: str | None, chart: str | None, scope: str | None
) -> None:
    if chart == "":
        needed = "must say where the chart is, since ingressController is install: a path or oci://"
        reader.fail("ingressChart", chart, needed)
    # A release's name has 53 characters at most (Helm), of which "-ingress" takes 8.
    if namespace and len(namespace) > 45:
        reader.fail("namespace", namespace, "must have 45 characters at most where ingressController is install")
    if scope is not None and (scope or "private") not in target.load_balancers:
        reason = f"must be public on target {target.name}: no way is known to make a load balancer private there"
        reader.fail("ingressScope", scope, reason)


def _running_config() -> Mapping[str, str]:
    # The SDK has no public way to list keys, and unknown keys must be reported.
    return {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
