"""The policy pack over every committed stack and what people configure, and the proof that each rule can fail.

The rules run here on what the recorder saw, by the pack's own policies. That the engine runs the pack, and stops at a
violation, tests/engine shows.
"""

from typing import Any

import pytest
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policy.rules import POLICIES
from tests.harness.faults import CONTAINER, DELETE, POD, VARIANTS, plant, run_of
from tests.harness.recorder import Recorded, Resource, stacks
from tests.harness.violations import violations


@pytest.mark.parametrize("stack", stacks())
def test_no_stack_violates_it(stack: str) -> None:
    assert violations(run_of(stack)) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_nor_does_what_people_configure(variant: str) -> None:
    assert violations(run_of("dev", variant)) == []


RELEASE = ("inputs", "values", "controller", "service", "annotations")
ENV = (*CONTAINER, "env", 0)
# Policy, resource, where in it, what stands there then, the field that the report names, and the mend.
FAULTS: list[tuple[str, str, tuple[str | int, ...], Any, str, str]] = [
    (
        "pinned",
        "Deployment pacman",
        (*CONTAINER, "image"),
        "saintdle/pacman:latest",
        "containers[pacman].image",
        "latest",
    ),
    ("pinned", "Deployment pacman", (*CONTAINER, "image"), "saintdle/pacman", "containers[pacman].image", "not pinned"),
    ("pinned", "Job mongo-init", (*CONTAINER, "image"), "mongo:8", "containers[init].image", "name a full version"),
    ("pinned", "Release pacman-ingress", ("inputs", "version"), DELETE, "version", "must be a full version"),
    ("pinned", "Release pacman-ingress", ("inputs", "version"), ">=2.6", "version", "must be a full version"),
    ("limited", "StatefulSet mongo", (*CONTAINER, "resources", "limits"), {}, "resources.limits.memory", "must be set"),
    ("limited", "Job mongo-init", (*CONTAINER, "resources"), DELETE, "resources.requests.cpu", "must be set"),
    ("probed", "Deployment pacman", (*CONTAINER, "startupProbe"), DELETE, "[pacman].startupProbe", "must be set"),
    ("probed", "StatefulSet mongo", (*CONTAINER, "livenessProbe"), {}, "[mongo].livenessProbe", "must be set"),
    ("restricted", "Deployment pacman", (*POD, "securityContext", "runAsUser"), 0, "runAsUser", "must not be 0"),
    ("restricted", "Namespace pacman", ("inputs", "metadata", "labels"), {}, "pod-security", "must be restricted"),
    (
        "restricted",
        "StatefulSet mongo",
        (*POD, "initContainers", 0, "securityContext", "readOnlyRootFilesystem"),
        False,
        "initContainers[keyfile].securityContext.readOnlyRootFilesystem",
        "must be true",
    ),
    (
        "labelled",
        "Deployment pacman",
        ("inputs", "spec", "template", "metadata", "labels", "app.kubernetes.io/component"),
        DELETE,
        "spec.template.metadata.labels[app.kubernetes.io/component]",
        "must be server, which the selector wants",
    ),
    ("labelled", "Ingress pacman", ("inputs", "metadata", "labels"), DELETE, "part-of", "must be set"),
    ("no-plain-secret", "Deployment pacman", (*ENV, "name"), "MONGO_PASSWORD", "env[MONGO_PASSWORD]", "from a Secret"),
    ("no-plain-secret", "Deployment pacman", (*ENV, "value"), "mongodb://a:b@mongo", "env[DB_TYPE].value", "a Secret"),
    (
        "no-plain-secret",
        "StatefulSet mongo",
        (*CONTAINER, "args", 0),
        "--uri=mongodb://a:b@c",
        "].args",
        "of processes",
    ),
    ("no-plain-secret", "ConfigMap mongo-init", ("inputs", "data", "password"), "x", "data[password]", "in a Secret"),
    ("not-public-by-accident", "Service pacman", ("inputs", "spec", "type"), "LoadBalancer", "spec.type", "ClusterIP"),
    ("not-public-by-accident", "Service pacman", ("inputs", "spec", "type"), "NodePort", "spec.type", "the Ingress is"),
    (
        "not-public-by-accident",
        "Service pacman",
        ("inputs", "spec", "externalIPs"),
        ["192.0.2.1"],
        "externalIPs",
        "empty",
    ),
    ("not-public-by-accident", "Release pacman-ingress", RELEASE, {}, "[pacman/scope]", "public or private"),
    (
        "not-public-by-accident",
        "Release pacman-ingress",
        (*RELEASE, "service.beta.kubernetes.io/aws-load-balancer-scheme"),
        "internal",
        "values.controller.service.annotations",
        "that make a load balancer public",
    ),
    ("no-plain-secret", "StatefulSet mongo", (*CONTAINER, "args", 0), "--password=x", "].args", "of processes"),
    ("no-plain-secret", "Deployment pacman", (*ENV, "name"), "DB_PASSWORD", "env[DB_PASSWORD]", "from a Secret"),
    (
        "databases-are-closed",
        "NetworkPolicy mongo",
        ("inputs", "spec", "ingress"),
        [{}],
        "StatefulSet mongo: spec.template.metadata.labels",
        "open to all",
    ),
    (
        "databases-are-closed",
        "NetworkPolicy mongo",
        ("inputs", "metadata", "namespace"),
        "elsewhere",
        "StatefulSet mongo: spec.template.metadata.labels",
        "need a NetworkPolicy",
    ),
    (
        "kept",
        "StatefulSet mongo",
        ("inputs", "spec", "volumeClaimTemplates", 0, "spec", "storageClassName"),
        DELETE,
        "spec.volumeClaimTemplates[data].spec.storageClassName",
        "must name a class",
    ),
    (
        "kept",
        "StatefulSet mongo",
        ("inputs", "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"),
        "Delete",
        "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
        "must be Retain",
    ),
    ("no-default-provider", "Service mongo", ("provider",), "", "provider", "pass parent=self"),
    ("no-default-provider", "Service mongo", ("provider",), "urn::default_4_34_2::id", "provider", "pass parent=self"),
    (
        "databases-are-closed",
        "NetworkPolicy mongo",
        ("inputs", "spec", "podSelector"),
        {"matchLabels": {"app": "mongo"}},
        "StatefulSet mongo: spec.template.metadata.labels",
        "need a NetworkPolicy",
    ),
    (
        "generated-secrets-stay-in-secrets",
        "ConfigMap mongo-init",
        ("inputs", "data", "uri"),
        "generated-for-mongo-app",
        "data.uri",
        "refer to the Secret",
    ),
]


@pytest.mark.parametrize(
    ("policy", "resource", "where", "value", "field", "mend"), FAULTS, ids=[f"{f[0]}-{i}" for i, f in enumerate(FAULTS)]
)
def test_a_planted_fault_is_told_with_resource_field_and_mend(
    policy: str, resource: str, where: tuple[str | int, ...], value: object, field: str, mend: str
) -> None:
    culprit, _, part = field.rpartition(": ")
    told = [
        message.split(": ", 2)
        for name, message in violations(plant(run_of("eks"), resource, where, value))
        if name == policy
    ]
    assert [each for each in told if each[0] == (culprit or resource) and part in each[1] and mend in each[2]], told


def also(*objects: tuple[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """What the pack reports on objects of other kinds than this program has."""
    resources = [
        Resource(f"urn::{kind}::x", f"kubernetes:{kind}", "x", inputs, "", "urn:p::own::id", {}, frozenset(), {})
        for kind, inputs in objects
    ]
    return violations(Recorded(tuple(resources), {}))


BAD_POD = {"containers": [{"name": "x", "image": "x:latest", "env": [{"name": "PASSWORD", "value": "x"}]}]}
LABELLED = {"labels": {"app.kubernetes.io/part-of": "x", "app.kubernetes.io/managed-by": "pulumi"}}


@pytest.mark.parametrize(
    ("kind", "spec", "at"),
    [
        ("core/v1:Pod", BAD_POD, "spec"),
        (
            "batch/v1:CronJob",
            {"jobTemplate": {"spec": {"template": {"spec": BAD_POD}}}},
            "spec.jobTemplate.spec.template",
        ),
        ("apps/v1:ReplicaSet", {"template": {"spec": BAD_POD}}, "spec.template.spec"),
    ],
)
def test_pods_are_found_in_every_kind_that_has_some(kind: str, spec: dict[str, Any], at: str) -> None:
    found = also((kind, {"metadata": LABELLED, "spec": spec}))
    assert {name for name, _ in found} >= {"restricted", "pinned", "limited", "no-plain-secret"}
    assert all(f" x: {at}" in message for _, message in found)


def test_a_patch_answers_for_what_it_writes_and_not_for_the_rest() -> None:
    found = also(("apps/v1:DeploymentPatch", {"metadata": {}, "spec": {"template": {"spec": BAD_POD}}}))
    assert {name for name, _ in found} == {"pinned", "no-plain-secret"}


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("yaml/v2:ConfigGroup", {"files": ["x.yaml"]}),
        ("helm.sh/v4:Chart", {"chart": "x"}),
        ("helm.sh/v3:Release", {"chart": "x", "version": "1.2.3"}),
        ("networking.k8s.io/v1:NetworkPolicy", {"metadata": LABELLED, "spec": {"podSelector": {}}}),
        ("apps/v1:DeploymentPatch", {"metadata": {}}),
    ],
)
def test_what_has_nothing_to_judge_is_no_violation(kind: str, inputs: dict[str, Any]) -> None:
    assert also((kind, inputs)) == []


def test_every_policy_is_shown_to_fail() -> None:
    assert {fault[0] for fault in FAULTS} == {policy.name for policy in POLICIES}


def test_what_is_not_known_yet_is_no_leak() -> None:
    run = plant(run_of("dev"), "ConfigMap mongo-init", ("inputs", "data", "later"), UNKNOWN_STRING_VALUE)
    assert [name for name, _ in violations(run) if name == "generated-secrets-stay-in-secrets"] == []


RESTRICTED_FAULTS: list[tuple[tuple[str | int, ...], object, str]] = [
    (("hostNetwork",), True, "hostNetwork"),
    (("hostPID",), True, "hostPID"),
    (("hostIPC",), True, "hostIPC"),
    (("volumes", 1), {"name": "host", "hostPath": {"path": "/"}}, "volumes[host].hostPath"),
    (("volumes", 1), {"name": "share", "nfs": {"server": "x"}}, "volumes[share].nfs"),
    (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}], "securityContext.sysctls"),
    (("securityContext", "runAsUser"), 0, "securityContext.runAsUser"),
    (("securityContext", "runAsNonRoot"), False, "securityContext.runAsNonRoot"),
    (("securityContext", "runAsNonRoot"), DELETE, "containers[mongo].securityContext.runAsNonRoot"),
    (("securityContext", "seccompProfile"), DELETE, "initContainers[keyfile].securityContext.seccompProfile"),
    (("securityContext", "seccompProfile", "type"), "Unconfined", "securityContext.seccompProfile"),
    (("securityContext", "appArmorProfile"), {"type": "Unconfined"}, "securityContext.appArmorProfile"),
    (("securityContext", "seLinuxOptions"), {"type": "spc_t"}, "securityContext.seLinuxOptions"),
    (("securityContext", "seLinuxOptions"), {"user": "root"}, "securityContext.seLinuxOptions"),
    (("securityContext", "windowsOptions"), {"hostProcess": True}, "securityContext.windowsOptions.hostProcess"),
    (("containers", 0, "securityContext"), DELETE, "containers[mongo].securityContext.allowPrivilegeEscalation"),
    (("containers", 0, "securityContext", "privileged"), True, "containers[mongo].securityContext.privileged"),
    (("containers", 0, "securityContext", "procMount"), "Unmasked", "containers[mongo].securityContext.procMount"),
    (("containers", 0, "securityContext", "runAsUser"), 0, "containers[mongo].securityContext.runAsUser"),
    (("containers", 0, "securityContext", "runAsNonRoot"), False, "containers[mongo].securityContext.runAsNonRoot"),
    (
        ("initContainers", 0, "securityContext", "allowPrivilegeEscalation"),
        True,
        "initContainers[keyfile].securityContext.allowPrivilegeEscalation",
    ),
    (
        ("initContainers", 0, "securityContext", "capabilities", "drop"),
        ["NET_RAW"],
        "initContainers[keyfile].securityContext.capabilities.drop",
    ),
    (
        ("containers", 0, "securityContext", "capabilities", "add"),
        ["NET_BIND_SERVICE", "SYS_PTRACE"],
        "containers[mongo].securityContext.capabilities.add",
    ),
    (
        ("containers", 0, "lifecycle"),
        {"stopSignal": "SIGTERM", "preStop": {"httpGet": {"host": "x"}}},
        "containers[mongo].lifecycle.preStop.httpGet.host",
    ),
    (("containers", 0, "ports", 0, "hostPort"), 27017, "containers[mongo].ports[27017].hostPort"),
    (("containers", 0, "livenessProbe", "tcpSocket", "host"), "x", "containers[mongo].livenessProbe.tcpSocket.host"),
    (
        ("containers", 0, "lifecycle"),
        {"postStart": {"httpGet": {"host": "x", "port": 1}}},
        "containers[mongo].lifecycle.postStart.httpGet.host",
    ),
]


@pytest.mark.parametrize(("where", "value", "field"), RESTRICTED_FAULTS, ids=[f[2] for f in RESTRICTED_FAULTS])
def test_reports_what_pod_security_refuses(where: tuple[str | int, ...], value: object, field: str) -> None:
    run = plant(run_of("dev"), "StatefulSet mongo", (*POD, *where), value)
    told = [message.split(": ")[:2] for name, message in violations(run) if name == "restricted"]
    assert ["StatefulSet mongo", f"spec.template.spec.{field}"] in told
