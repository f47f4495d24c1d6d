"""The rules. Each names what breaks it: the resource, the field, and what to do about it.

A rule reads what a resource declares, and only the fields that it needs: one that is not known yet (in a preview) makes
the engine say that it could not tell, instead of a wrong verdict.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from pulumi_policy import (
    Policy,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from components.ingress_controller import SCOPE
from images import Image
from policy import pod_security
from targets import TARGETS

Props = Mapping[str, Any]
Fault = tuple[str, str]
"""A field, and what has to be there instead."""
# Kind -> where its pods' spec is.
_PODS = {
    "Pod": "spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), "spec.template.spec"),
}
_LABELS = ("part-of", "managed-by")
# A variable or a key of a ConfigMap whose name says that its value is nobody else's business.
_SECRET_NAME = re.compile(r"passw|pwd|secret|token|credential|private.?key", re.IGNORECASE)
# A path to a secret is none.
_SECRET_FILE = re.compile(r"_(FILE|PATH|DIR)$", re.IGNORECASE)
_SECRET_OPTION = re.compile(rf"^-+\w*({_SECRET_NAME.pattern})[\w-]*=", re.IGNORECASE)
# A URL with a password in it, and not with the name of a variable that holds one.
_SECRET_VALUE = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@${]+:[^/\s@${]+@", re.IGNORECASE)


class Declared(Protocol):
    """What a rule is told of a resource, by the engine or by a test."""

    resource_type: str
    name: str
    props: Props


def kind(resource: Declared) -> str:
    """The kind of a Kubernetes object, "" for any other resource."""
    return resource.resource_type.rpartition(":")[2] if resource.resource_type.startswith("kubernetes:") else ""


def _pod(resource: Declared, *, patches: bool = False) -> tuple[str, Props] | None:
    """Where a resource has the spec of pods, and that; a patch, which has but pieces of one, only where asked for."""
    of = kind(resource).removesuffix("Patch") if patches else kind(resource)
    if of not in _PODS:
        return None
    spec: Props = resource.props
    for step in _PODS[of].split("."):
        if step not in spec:
            return None
        spec = spec[step]
    return _PODS[of], spec


def _containers(resource: Declared, *groups: str, patches: bool = False) -> Iterator[tuple[str, Props]]:
    found = _pod(resource, patches=patches)
    if found:
        at, pod = found
        for group in groups or ("initContainers", "containers"):
            for container in pod.get(group, []):
                yield f"{at}.{group}[{container['name']}]", container


def restricted(resource: Declared) -> Iterator[Fault]:
    """Pods pass Pod Security `restricted` and write nowhere but to volumes; namespaces enforce it."""
    if kind(resource) == "Namespace":
        labels = resource.props["metadata"].get("labels", {})
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "metadata.labels[pod-security.kubernetes.io/enforce]", "must be restricted"
    found = _pod(resource)
    if found:
        at, pod = found
        for violation in pod_security.violations(pod):
            field, _, mend = violation.partition(": ")
            yield f"{at}.{field}", mend
    for path, container in _containers(resource):
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{path}.securityContext.readOnlyRootFilesystem", "must be true; give it a volume where it writes"


def pinned(resource: Declared) -> Iterator[Fault]:
    """An image names one build, and a chart one version."""
    for path, container in _containers(resource, patches=True):
        if "image" not in container:  # of a patch
            continue
        try:
            Image.parse(container["image"])
        except ValueError as problem:
            yield f"{path}.image", str(problem)
    if kind(resource) == "Release" and not re.fullmatch(r"v?\d+\.\d+\.\d+\S*", resource.props.get("version", "")):
        yield "version", "must be a full version of the chart, such as 2.6.4"


def limited(resource: Declared) -> Iterator[Fault]:
    """A container says what it needs, and how much memory is too much."""
    for path, container in _containers(resource):
        given = container.get("resources", {})
        for group, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if not given.get(group, {}).get(what):
                yield f"{path}.resources.{group}.{what}", "must be set"


def probed(resource: Declared) -> Iterator[Fault]:
    """A container that runs for long says when it has started, when it serves, and when it hangs."""
    for path, container in _containers(resource, "containers") if kind(resource) not in ("Job", "CronJob") else ():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if not container.get(probe):
                yield f"{path}.{probe}", "must be set"


def labelled(resource: Declared) -> Iterator[Fault]:
    """An object says whose it is, and a workload selects its own pods by labels that they have."""
    # A chart and a group of YAML files have no metadata of their own, and a patch is of somebody else's object.
    if not kind(resource) or kind(resource).endswith("Patch") or "metadata" not in resource.props:
        return
    labels = resource.props["metadata"].get("labels", {})
    for label in _LABELS:
        if not labels.get(f"app.kubernetes.io/{label}"):
            yield f"metadata.labels[app.kubernetes.io/{label}]", "must be set"
    if kind(resource) in ("Deployment", "StatefulSet", "DaemonSet"):
        spec = resource.props["spec"]
        has = spec["template"]["metadata"].get("labels", {})
        wanted = spec["selector"]["matchLabels"]
        for label in wanted:
            if has.get(label) != wanted[label]:
                yield f"spec.template.metadata.labels[{label}]", f"must be {wanted[label]}, which the selector wants"


def no_plain_secret(resource: Declared) -> Iterator[Fault]:
    """A password comes from a Secret: not from a variable, an argument or a ConfigMap that everybody can read."""
    for path, container in _containers(resource, patches=True):
        for variable in container.get("env", []):
            value, named = variable.get("value") or "", variable["name"]
            secret = _SECRET_NAME.search(named) and not _SECRET_FILE.search(named) and value
            if secret or _SECRET_VALUE.search(value):
                yield f"{path}.env[{named}].value", "must come from a Secret, by valueFrom.secretKeyRef"
        for group in ("command", "args"):
            if any(_SECRET_VALUE.search(each) or _SECRET_OPTION.search(each) for each in container.get(group, [])):
                yield f"{path}.{group}", "must not hold a password: the list of processes shows it"
    if kind(resource) == "ConfigMap":
        data = resource.props.get("data", {})
        for key in data:
            if _SECRET_NAME.search(key) or _SECRET_VALUE.search(data[key]):
                yield f"data[{key}]", "must be in a Secret"


def not_public_by_accident(resource: Declared) -> Iterator[Fault]:
    """Nothing is reached from outside but through the Ingress, and a load balancer says for whom it is."""
    if kind(resource) == "Service":
        spec = resource.props["spec"]
        if spec.get("type", "ClusterIP") != "ClusterIP":
            yield "spec.type", f"must be ClusterIP, is {spec['type']}; the Ingress is the way in"
        if spec.get("externalIPs"):
            yield "spec.externalIPs", "must be empty; the Ingress is the way in"
    if kind(resource) == "Release":
        service = resource.props.get("values", {}).get("controller", {}).get("service", {})
        if service.get("type") not in ("LoadBalancer", "NodePort"):
            return
        annotations = dict(service.get("annotations", {}))
        scope = annotations.pop(SCOPE, "")
        field = "values.controller.service.annotations"
        if scope not in ("public", "private"):
            yield f"{field}[{SCOPE}]", "must be public or private, said on purpose"
        elif annotations not in [target.load_balancers.get(scope) for target in TARGETS.values()]:
            yield field, f"must be those that make a load balancer {scope}: see load_balancers in targets.py"


def kept(resource: Declared) -> Iterator[Fault]:
    """Data outlives what claimed it, on a class that was chosen."""
    if kind(resource) != "StatefulSet":
        return
    spec = resource.props["spec"]
    retention = spec.get("persistentVolumeClaimRetentionPolicy", {})
    for when in ("whenDeleted", "whenScaled"):
        if retention.get(when) != "Retain":
            yield f"spec.persistentVolumeClaimRetentionPolicy.{when}", "must be Retain"
    for claim in spec.get("volumeClaimTemplates", []):
        if not claim["spec"].get("storageClassName"):
            field = f"spec.volumeClaimTemplates[{claim['metadata']['name']}].spec.storageClassName"
            yield field, "must name a class, and not depend on the default"


def no_default_provider(resource: ResourceValidationArgs) -> Iterator[Fault]:
    """Nothing lands on a cluster that the stack does not name."""
    if kind(resource) and (resource.provider is None or resource.provider.name.startswith("default")):
        yield "provider", "must be the stack's own: pass parent=self, and no provider of the default kind"


def databases_are_closed(resources: Sequence[Declared]) -> Iterator[tuple[Declared, Fault]]:
    """A policy says who may reach a database, and it is not everybody."""
    for each in resources:
        if kind(each) != "StatefulSet":
            continue
        field, labels = "spec.template.metadata.labels", each.props["spec"]["template"]["metadata"]["labels"]
        rules = [
            policy.props["spec"].get("ingress", [])
            for policy in resources
            if kind(policy) == "NetworkPolicy"
            and policy.props["metadata"].get("namespace") == each.props["metadata"].get("namespace")
            and _selects(policy.props["spec"], labels)
        ]
        if not rules:
            yield each, (field, "need a NetworkPolicy that selects them")
        elif any(not rule.get("from") for some in rules for rule in some):
            yield each, (field, "need a NetworkPolicy that says from where, and not one that is open to all")


def _selects(policy: Props, labels: Mapping[str, str]) -> bool:
    # The one that closes a whole namespace selects nobody in particular, and lets nobody in.
    selector = policy["podSelector"].get("matchLabels", {})
    return "Ingress" in policy.get("policyTypes", ["Ingress"]) and selector and selector.items() <= labels.items()


def generated_secrets_stay_in_secrets(resources: Sequence[Declared]) -> Iterator[tuple[Declared, Fault]]:
    """What was generated to be secret is in Secrets and nowhere else."""
    passwords = [each for each in resources if each.resource_type.endswith(":RandomPassword")]
    generated = [text for each in passwords for field, text in _texts(each.props) if field == "result"]
    for each in resources:
        if kind(each) and kind(each) != "Secret":
            for field, text in _texts(each.props):
                if any(secret in text for secret in generated):
                    yield each, (field, "must not hold a generated password; refer to the Secret instead")


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON
    """Every text in a value with its path; one that is not known yet is passed over."""
    if isinstance(value, str):
        yield path, value
        return
    keys: list[Any] = []
    if isinstance(value, Mapping | Sequence):
        keys = list(value) if isinstance(value, Mapping) else list(range(len(value)))
    for key in keys:
        try:
            item = value[key]
        except UnknownValueError:
            continue
        yield from _texts(item, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip("."))


def _title(rule: Callable[..., Any]) -> tuple[str, str]:
    return rule.__name__.replace("_", "-"), (rule.__doc__ or "").strip()


def _told(resource: Declared, fault: Fault) -> str:
    return f"{kind(resource)} {resource.name}: {fault[0]}: {fault[1]}"


def _each(rule: Callable[[ResourceValidationArgs], Iterator[Fault]]) -> ResourceValidationPolicy:
    def validate(resource: ResourceValidationArgs, report: ReportViolation) -> None:
        for fault in rule(resource):
            report(_told(resource, fault), None)

    return ResourceValidationPolicy(*_title(rule), validate=validate)


def _all(rule: Callable[[Sequence[Any]], Iterator[tuple[Any, Fault]]]) -> StackValidationPolicy:
    def validate(stack: StackValidationArgs, report: ReportViolation) -> None:
        for resource, fault in rule(stack.resources):
            report(_told(resource, fault), resource.urn)

    return StackValidationPolicy(*_title(rule), validate=validate)


POLICIES: list[Policy] = [
    *map(_each, (restricted, pinned, limited, probed, labelled, no_plain_secret)),
    *map(_each, (not_public_by_accident, kept, no_default_provider)),
    *map(_all, (databases_are_closed, generated_secrets_stay_in_secrets)),
]
