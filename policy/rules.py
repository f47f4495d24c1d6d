"""The rules. Each message names the resource, the field, and the fix.

A rule reads what a resource declares, and only the fields that it needs. If the preview does not know one of them yet,
the engine says that it could not run the rule.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from pulumi_policy import (
    Policy,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from components.images import is_pinned
from components.ingress_controller import LOAD_BALANCERS, SCOPE
from components.metadata import OURS
from policy import network, pod_security
from policy.fields import Props, items, known, mapping, named, text, value

Fault = tuple[str, str]
"""A field, and what it must be instead."""
# Kind -> where the spec of its pods is.
_PODS = {
    "Pod": "spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), "spec.template.spec"
    ),
}
# Modules whose resources stand for many objects and have no metadata of their own.
_BUNDLES = ("helm.sh", "kustomize", "yaml")
_PINNED_CHART = re.compile(r"v?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?", re.ASCII)
# Names of variables and of keys in a ConfigMap whose values are secret.
_SECRET_NAME = re.compile(r"passw|pwd|secret|token|credential|private.?key", re.IGNORECASE)
# The path of a file with a secret is not secret.
_SECRET_FILE = re.compile(r"_(FILE|PATH|DIR)$", re.IGNORECASE)
_SECRET_OPTION = re.compile(rf"^-+\w*({_SECRET_NAME.pattern})[\w-]*=", re.IGNORECASE)
# A URL that contains a password, and not the name of a variable that does.
_SECRET_VALUE = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@${]+:[^/\s@${]+@", re.IGNORECASE)
# Provisioners and classes that only one cloud has.
_CLOUD_OF_VOLUMES = {
    **dict.fromkeys(("ebs.csi.aws.com", "gp2"), "eks"),
    **dict.fromkeys(("disk.csi.azure.com", "managed-csi", "managed-csi-premium"), "aks"),
    **dict.fromkeys(("pd.csi.storage.gke.io", "standard-rwo", "premium-rwo"), "gke"),
}


class Declared(Protocol):
    """A resource as a rule sees it; the engine makes one, or a test."""

    resource_type: str
    name: str
    props: Props


def kind(resource: Declared) -> str:
    """The kind of a Kubernetes object, "" for any other resource."""
    return resource.resource_type.rpartition(":")[2] if resource.resource_type.startswith("kubernetes:") else ""


def _pod(resource: Declared, *, patches: bool = False) -> tuple[str, Props] | None:
    """The path of a resource's pod spec, and that spec; a patch, whose spec is partial, only on request."""
    at = _PODS.get(kind(resource).removesuffix("Patch") if patches else kind(resource))
    return (at, mapping(resource.props, *at.split("."))) if at else None


def _containers(resource: Declared, *groups: str, patches: bool = False) -> Iterator[tuple[str, Props]]:
    found = _pod(resource, patches=patches)
    if found:
        at, pod = found
        for group in groups or ("initContainers", "containers"):
            for name, container in named(pod, group):
                yield f"{at}.{group}[{name}]", container


def enforce_pod_security(resource: Declared) -> Iterator[Fault]:
    """Pods satisfy the Pod Security Standard `restricted`, and each namespace enforces it."""
    level = value(resource.props, "metadata", "labels", "pod-security.kubernetes.io/enforce")
    declares_level = kind(resource) == "Namespace" or (kind(resource) == "NamespacePatch" and level is not None)
    if declares_level and level != "restricted":
        yield "metadata.labels[pod-security.kubernetes.io/enforce]", "must be restricted"
    found = _pod(resource)
    if found:
        at, pod = found
        for violation in pod_security.violations(pod):
            field, _, fix = violation.partition(": ")
            yield f"{at}.{field}", fix


def set_read_only_root(resource: Declared) -> Iterator[Fault]:
    """Every container has a read-only root file system."""
    for path, container in _containers(resource):
        if not value(container, "securityContext", "readOnlyRootFilesystem"):
            yield f"{path}.securityContext.readOnlyRootFilesystem", "must be true; mount a volume where it writes"


def pin_images(resource: Declared) -> Iterator[Fault]:
    """Every image has a tag with a full version, or a digest."""
    fix = "must have a full version such as name:1.2.3, or a digest; `latest` moves, and so does 1.2"
    for path, container in _containers(resource, patches=True):
        left_alone = kind(resource).endswith("Patch") and value(container, "image") is None
        if not left_alone and not is_pinned(text(container, "image")):
            yield f"{path}.image", fix
    found = _pod(resource, patches=True)
    if found:
        at, pod = found
        for name, volume in named(pod, "volumes"):
            if volume.get("image") is not None and not is_pinned(text(volume, "image", "reference")):
                yield f"{at}.volumes[{name}].image.reference", fix


def pin_charts(resource: Declared) -> Iterator[Fault]:
    """Every Helm release names one version of its chart."""
    if kind(resource) == "Release" and not _PINNED_CHART.fullmatch(text(resource.props, "version")):
        yield "version", "must be a full version of the chart, such as 2.6.4"


def set_resource_requests(resource: Declared) -> Iterator[Fault]:
    """Every container requests CPU and memory."""
    yield from _need_resources(resource, ("requests", "cpu"), ("requests", "memory"))


def set_memory_limits(resource: Declared) -> Iterator[Fault]:
    """Every container has a memory limit."""
    yield from _need_resources(resource, ("limits", "memory"))


def set_ephemeral_storage(resource: Declared) -> Iterator[Fault]:
    """Every container has a request and a limit for ephemeral storage."""
    yield from _need_resources(resource, ("requests", "ephemeral-storage"), ("limits", "ephemeral-storage"))


def _need_resources(resource: Declared, *needed: tuple[str, str]) -> Iterator[Fault]:
    for path, container in _containers(resource):
        for group, what in needed:
            if not value(container, "resources", group, what):
                yield f"{path}.resources.{group}.{what}", "must be set"


def set_probes(resource: Declared) -> Iterator[Fault]:
    """Every container has a startup, a readiness and a liveness probe, unless it belongs to a Job."""
    for path, container in _containers(resource, "containers") if kind(resource) not in ("Job", "CronJob") else ():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if not container.get(probe):
                yield f"{path}.{probe}", "must be set"


def set_labels(resource: Declared) -> Iterator[Fault]:
    """Every object and its pods have the labels `app.kubernetes.io/part-of` and `app.kubernetes.io/managed-by`."""
    bundle = resource.resource_type.startswith(tuple(f"kubernetes:{module}" for module in _BUNDLES))
    # The object that a patch changes belongs to somebody else.
    if not kind(resource) or bundle or kind(resource).endswith("Patch"):
        return
    paths = ["metadata.labels"]
    if kind(resource) in _PODS and kind(resource) != "Pod":
        paths.append(_PODS[kind(resource)].removesuffix("spec") + "metadata.labels")
    for path in paths:
        labels = mapping(resource.props, *path.split("."))
        for label in OURS:
            if not labels.get(label):
                yield f"{path}[{label}]", "must be set"


def match_selector_labels(resource: Declared) -> Iterator[Fault]:
    """The pods of a workload have the labels that its selector requires."""
    if kind(resource) in ("Deployment", "StatefulSet", "DaemonSet"):
        labels = mapping(resource.props, "spec", "template", "metadata", "labels")
        for label, wanted in mapping(resource.props, "spec", "selector", "matchLabels").items():
            if labels.get(label) != wanted:
                yield f"spec.template.metadata.labels[{label}]", f"must be {wanted}, which the selector wants"


def forbid_plain_secrets(resource: Declared) -> Iterator[Fault]:
    """No password is in a variable, an argument or a ConfigMap."""
    for path, container in _containers(resource, patches=True):
        for name, variable in named(container, "env"):
            given = text(variable, "value")
            secret = _SECRET_NAME.search(name) and not _SECRET_FILE.search(name) and given
            if secret or _SECRET_VALUE.search(given):
                yield f"{path}.env[{name}].value", "must come from a Secret, by valueFrom.secretKeyRef"
        for group in ("command", "args"):
            words = [word for word in items(container, group) if isinstance(word, str)]
            if any(_SECRET_VALUE.search(word) or _SECRET_OPTION.search(word) for word in words):
                yield f"{path}.{group}", "must not hold a password: the list of processes shows it"
    if kind(resource) in ("ConfigMap", "ConfigMapPatch"):
        data = mapping(resource.props, "data")
        for key in data:
            if _SECRET_NAME.search(key) or _SECRET_VALUE.search(text(data, key)):
                yield f"data[{key}]", "must be in a Secret"


def forbid_external_services(resource: Declared) -> Iterator[Fault]:
    """Every Service is of type ClusterIP and has no external addresses: clients outside come through the Ingress."""
    if kind(resource) in ("Service", "ServicePatch"):
        service_type = value(resource.props, "spec", "type")
        if service_type not in (None, "ClusterIP"):
            yield "spec.type", f"must be ClusterIP, is {service_type}; the Ingress is the way in"
        if value(resource.props, "spec", "externalIPs"):
            yield "spec.externalIPs", "must be empty; the Ingress is the way in"


def declare_load_balancer_scope(resource: Declared) -> Iterator[Fault]:
    """Every Service of a chart has an explicit type, and a load balancer is declared public or private."""
    if kind(resource) != "Release":
        return
    services = list(_services(resource.props.get("values"), "values"))
    # The default of many charts is a public load balancer. Only `values` is read: they override files of values.
    for field, service in services or [("values.controller.service", {})]:
        if value(service, "type") is None:
            yield f"{field}.type", "must be set: a chart may make a public load balancer by default"
        if service.get("externalIPs"):
            yield f"{field}.externalIPs", "must be empty; use a load balancer"
        if value(service, "type") in (None, "ClusterIP"):
            continue
        scope, annotations = _scope(service)
        if scope not in ("public", "private"):
            yield f"{field}.annotations[{SCOPE}]", "must be public or private"
        elif annotations not in [scopes.get(scope) for scopes in LOAD_BALANCERS.values()]:
            yield f"{field}.annotations", f"must be those that make a load balancer {scope} on one cloud, and no others"


def _services(values: Any, path: str) -> Iterator[tuple[str, Props]]:  # noqa: ANN401 - any JSON
    """The settings of each Service in the values of a chart: what the key `service` holds, at any depth."""
    for step, entry in known(values):
        if step == ".service":
            yield path + step, mapping(entry)
        yield from _services(entry, path + step)


def _scope(service: Props) -> tuple[str, dict[str, Any]]:
    """The declared scope of a load balancer, and its other annotations."""
    annotations = mapping(service, "annotations")
    return text(annotations, SCOPE), {key: annotations[key] for key in annotations if key != SCOPE}


def match_load_balancer_to_cloud(resources: Sequence[Declared]) -> Iterator[tuple[Declared, Fault]]:
    """A load balancer has the annotations of the cloud that the stack's volumes are on."""
    # The engine does not pass the stack's config to a Python policy pack, so volumes are the only sign of the cloud.
    clouds = {cloud for each in resources for cloud in _clouds(each)}
    if len(clouds) != 1:
        return
    (cloud,) = clouds
    for each in resources:
        for field, service in _services(each.props.get("values"), "values") if kind(each) == "Release" else ():
            scope, annotations = _scope(service)
            expected = LOAD_BALANCERS[cloud].get(scope)
            if value(service, "type") == "LoadBalancer" and annotations != expected:
                yield each, (f"{field}.annotations", f"must be those of {cloud}, which the stack's volumes are on")


def _clouds(resource: Declared) -> Iterator[str]:
    """The clouds that a resource's volumes name."""
    names = [text(spec, "storageClassName") for _, spec in _claims(resource)]
    if kind(resource) == "StorageClass":
        names.append(text(resource.props, "provisioner"))
    for name in names:
        if name in _CLOUD_OF_VOLUMES:
            yield _CLOUD_OF_VOLUMES[name]


def _claims(resource: Declared) -> Iterator[tuple[str, Props]]:
    """The path and the spec of each claim that a resource makes."""
    if kind(resource) == "PersistentVolumeClaim":
        yield "spec", mapping(resource.props, "spec")
    if kind(resource) == "StatefulSet":
        for index, claim in enumerate(items(resource.props, "spec", "volumeClaimTemplates")):
            name = text(claim, "metadata", "name") or index
            yield f"spec.volumeClaimTemplates[{name}].spec", mapping(claim, "spec")


def retain_volume_claims(resource: Declared) -> Iterator[Fault]:
    """A StatefulSet that is deleted or scaled down leaves its volume claims."""
    if kind(resource) not in ("StatefulSet", "StatefulSetPatch"):
        return
    for when in ("whenDeleted", "whenScaled"):
        policy = value(resource.props, "spec", "persistentVolumeClaimRetentionPolicy", when)
        left_alone = kind(resource) == "StatefulSetPatch" and policy is None
        if policy != "Retain" and not left_alone:
            yield f"spec.persistentVolumeClaimRetentionPolicy.{when}", "must be Retain"


def name_storage_classes(resource: Declared) -> Iterator[Fault]:
    """Every volume claim names its StorageClass."""
    for path, spec in _claims(resource):
        if not value(spec, "storageClassName"):
            yield f"{path}.storageClassName", "must name a class: the default class of a cluster can change"


def forbid_default_provider(resource: ResourceValidationArgs) -> Iterator[Fault]:
    """Every Kubernetes resource uses the provider that the stack makes for its own cluster."""
    if kind(resource) and (resource.provider is None or resource.provider.name.startswith("default")):
        yield "provider", "must be the stack's own: pass parent=self, and no other provider"


def restrict_database_access(resources: Sequence[Declared]) -> Iterator[tuple[Declared, Fault]]:
    """NetworkPolicies choose who reaches the pods of a StatefulSet, and none of them admits everybody."""
    for each in resources:
        if kind(each) != "StatefulSet":
            continue
        labels = mapping(each.props, "spec", "template", "metadata", "labels")
        namespace = text(each.props, "metadata", "namespace")
        selecting = [
            policy
            for policy in resources
            if kind(policy) in ("NetworkPolicy", "NetworkPolicyPatch")
            and text(policy.props, "metadata", "namespace") == namespace
            and network.restricts_incoming(mapping(policy.props, "spec"))
            and network.selects(mapping(policy.props, "spec", "podSelector"), labels)
        ]
        # A policy that selects every pod, such as a default deny, was not written for the database.
        if not any(_chooses_pods(policy) for policy in selecting):
            yield each, ("spec.template.metadata.labels", "need a NetworkPolicy that selects them")
        for policy in selecting:
            for field in network.open_to_everybody(mapping(policy.props, "spec"), namespace):
                yield policy, (field, f"must name the clients of StatefulSet {each.name}, and not admit everybody")


def _chooses_pods(policy: Declared) -> bool:
    selector = mapping(policy.props, "spec", "podSelector")
    return bool(selector.get("matchLabels") or selector.get("matchExpressions"))


def keep_generated_passwords_in_secrets(resources: Sequence[Declared]) -> Iterator[tuple[Declared, Fault]]:
    """A generated password is in Secrets only."""
    passwords = [each for each in resources if each.resource_type.endswith(":RandomPassword")]
    generated = [secret for each in passwords if (secret := text(dict(known(each.props)), ".result"))]
    for each in resources:
        if kind(each) and kind(each) != "Secret":
            for field, found in _texts(each.props):
                if any(secret in found for secret in generated):
                    yield each, (field, "must not hold a generated password; refer to the Secret instead")


def _texts(of: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON
    """Every text in a value with its path."""
    if isinstance(of, str):
        yield path.lstrip("."), of
    for step, entry in known(of):
        yield from _texts(entry, path + step)


def _name_and_description(rule: Callable[..., Any]) -> tuple[str, str]:
    return rule.__name__.replace("_", "-"), (rule.__doc__ or "").strip()


def _message(resource: Declared, fault: Fault) -> str:
    return f"{kind(resource)} {resource.name}: {fault[0]}: {fault[1]}"


def resource_policy(rule: Callable[[ResourceValidationArgs], Iterator[Fault]]) -> ResourceValidationPolicy:
    """The policy that reports what a rule finds in one resource."""

    def validate(resource: ResourceValidationArgs, report: ReportViolation) -> None:
        for fault in rule(resource):
            report(_message(resource, fault), None)

    return ResourceValidationPolicy(*_name_and_description(rule), validate=validate)


def _stack_policy(rule: Callable[[Sequence[Any]], Iterator[tuple[Any, Fault]]]) -> StackValidationPolicy:
    def validate(stack: StackValidationArgs, report: ReportViolation) -> None:
        for resource, fault in rule(stack.resources):
            report(_message(resource, fault), resource.urn)

    return StackValidationPolicy(*_name_and_description(rule), validate=validate)


POLICIES: list[Policy] = [
    *map(resource_policy, (enforce_pod_security, set_read_only_root, pin_images, pin_charts)),
    *map(
        resource_policy,
        (
            set_resource_requests,
            set_memory_limits,
            set_ephemeral_storage,
            set_probes,
            set_labels,
            match_selector_labels,
        ),
    ),
    *map(resource_policy, (forbid_plain_secrets, forbid_external_services, declare_load_balancer_scope)),
    *map(resource_policy, (retain_volume_claims, name_storage_classes, forbid_default_provider)),
    *map(_stack_policy, (match_load_balancer_to_cloud, restrict_database_access, keep_generated_passwords_in_secrets)),
]
