"""Every stack and common settings satisfy the policy pack, and each policy reports the fault that it is about.

The policies run on what the recorder saw, without an engine: that the engine runs the pack and stops at a violation,
tests/engine shows. The pack reads what the program declares. So no test here can prove

- what is in a chart, in a file of its values, or in an object that an operator makes;
- that the cluster enforces a NetworkPolicy, or that a cloud reads an annotation;
- which cloud a stack is on, if its volumes do not say so: the engine passes no config to a Python policy pack;
- that a patch keeps a pod secure: most rules about pods need a whole pod and skip patches.
"""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from pulumi_policy import StackValidationPolicy
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policy.rules import POLICIES, resource_policy, set_ephemeral_storage
from tests.harness.faults import CONTAINER, DELETE, POD, VARIANTS, plant, run_of
from tests.harness.violations import violations
from tools.recorder import Recorded, Resource, stacks

Where = tuple[str | int, ...]


class Fault(NamedTuple):
    """A fault in the stack `eks`, and the report that it must cause."""

    policy: str
    resource: str
    where: Where
    value: Any
    field: str
    """A part of the reported field; with a resource in front where that is not the faulty one."""
    fix: str
    """A part of the reported fix."""


SPEC = ("inputs", "spec")
LABELS = (*SPEC, "template", "metadata", "labels")
ENV = (*CONTAINER, "env", 0)
IMAGE = (*CONTAINER, "image")
SERVICE = ("inputs", "values", "controller", "service")
RELEASE = "Release pacman-ingress"
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
GKE_PRIVATE = {"pacman/scope": "private", "networking.gke.io/load-balancer-type": "Internal"}
CLAIM = (*SPEC, "volumeClaimTemplates", 0)
RETENTION = (*SPEC, "persistentVolumeClaimRetentionPolicy")
UNSELECTED = "StatefulSet mongo: spec.template.metadata.labels"

FAULTS = [
    Fault("enforce-pod-security", "Deployment pacman", (*POD, "securityContext", "runAsUser"), 0, "runAsUser", "be 0"),
    Fault("enforce-pod-security", "Namespace pacman", ("inputs", "metadata", "labels"), {}, "enforce", "restricted"),
    Fault("enforce-pod-security", "Namespace pacman", ("inputs", "metadata", "labels"), None, "enforce", "restricted"),
    Fault("enforce-pod-security", "Namespace pacman", ("inputs", "metadata"), None, "enforce", "restricted"),
    Fault(
        "set-read-only-root",
        "StatefulSet mongo",
        (*POD, "initContainers", 0, "securityContext", "readOnlyRootFilesystem"),
        False,
        "initContainers[keyfile].securityContext.readOnlyRootFilesystem",
        "must be true",
    ),
    Fault(
        "set-ephemeral-storage",
        "StatefulSet mongo",
        (*CONTAINER, "resources", "limits", "ephemeral-storage"),
        DELETE,
        "resources.limits.ephemeral-storage",
        "must be set",
    ),
    Fault("pin-images", "Deployment pacman", IMAGE, "saintdle/pacman:latest", "[pacman].image", "`latest` moves"),
    Fault("pin-images", "Deployment pacman", IMAGE, "saintdle/pacman", "[pacman].image", "full version"),
    Fault("pin-images", "Job mongo-init", IMAGE, "mongo:8", "[init].image", "full version"),
    Fault("pin-images", "Job mongo-init", IMAGE, "nginx:1.27", "[init].image", "full version"),
    Fault("pin-images", "Job mongo-init", IMAGE, None, "[init].image", "full version"),
    Fault(
        "pin-images",
        "StatefulSet mongo",
        (*POD, "volumes", 1),
        {"name": "tools", "image": {"reference": "tools:1.2"}},
        "volumes[tools].image.reference",
        "full version",
    ),
    Fault("pin-charts", RELEASE, ("inputs", "version"), DELETE, "version", "full version"),
    Fault("pin-charts", RELEASE, ("inputs", "version"), None, "version", "full version"),
    Fault("pin-charts", RELEASE, ("inputs", "version"), ">=2.6", "version", "full version"),
    Fault("pin-charts", RELEASE, ("inputs", "version"), "2.6.4,<3", "version", "full version"),
    Fault("set-resource-requests", "Job mongo-init", (*CONTAINER, "resources"), DELETE, "requests.cpu", "must be set"),
    Fault("set-resource-requests", "Job mongo-init", (*CONTAINER, "resources"), None, "requests.memory", "must be set"),
    Fault("set-memory-limits", "StatefulSet mongo", (*CONTAINER, "resources", "limits"), {}, "memory", "must be set"),
    Fault("set-probes", "Deployment pacman", (*CONTAINER, "startupProbe"), DELETE, "[pacman].startupProbe", "be set"),
    Fault("set-probes", "StatefulSet mongo", (*CONTAINER, "livenessProbe"), {}, "[mongo].livenessProbe", "be set"),
    Fault("set-labels", "Ingress pacman", ("inputs", "metadata", "labels"), DELETE, "part-of", "must be set"),
    Fault("set-labels", "Ingress pacman", ("inputs", "metadata", "labels"), None, "managed-by", "must be set"),
    Fault("set-labels", "Ingress pacman", ("inputs", "metadata"), DELETE, "part-of", "must be set"),
    Fault(
        "set-labels",
        "Job mongo-init",
        (*LABELS, "app.kubernetes.io/part-of"),
        DELETE,
        "spec.template.metadata.labels[app.kubernetes.io/part-of]",
        "must be set",
    ),
    Fault(
        "match-selector-labels",
        "Deployment pacman",
        (*LABELS, "app.kubernetes.io/component"),
        DELETE,
        "spec.template.metadata.labels[app.kubernetes.io/component]",
        "must be server, which the selector wants",
    ),
    Fault("match-selector-labels", "StatefulSet mongo", LABELS, None, "app.kubernetes.io/name", "must be mongo"),
    Fault("forbid-plain-secrets", "Deployment pacman", (*ENV, "name"), "MONGO_PASSWORD", "[MONGO_PASSWORD]", "Secret"),
    Fault("forbid-plain-secrets", "Deployment pacman", (*ENV, "name"), "DB_PASSWORD", "[DB_PASSWORD]", "a Secret"),
    Fault("forbid-plain-secrets", "Deployment pacman", (*ENV, "value"), "mongodb://a:b@mongo", "value", "a Secret"),
    Fault("forbid-plain-secrets", "StatefulSet mongo", (*CONTAINER, "args", 0), "--password=x", "args", "processes"),
    Fault("forbid-plain-secrets", "StatefulSet mongo", (*CONTAINER, "args", 0), "-u=mongodb://a:b@c", "args", "of pro"),
    Fault("forbid-plain-secrets", "ConfigMap mongo-init", ("inputs", "data", "password"), "x", "[password]", "Secret"),
    Fault("forbid-external-services", "Service pacman", (*SPEC, "type"), "LoadBalancer", "spec.type", "ClusterIP"),
    Fault("forbid-external-services", "Service pacman", (*SPEC, "type"), "NodePort", "spec.type", "the Ingress is"),
    Fault("forbid-external-services", "Service pacman", (*SPEC, "externalIPs"), ["192.0.2.1"], "externalIPs", "empty"),
    Fault("declare-load-balancer-scope", RELEASE, (*SERVICE, "type"), DELETE, "service.type", "must be set"),
    Fault("declare-load-balancer-scope", RELEASE, (*SERVICE, "type"), None, "service.type", "must be set"),
    Fault("declare-load-balancer-scope", RELEASE, SERVICE, None, "controller.service.type", "must be set"),
    Fault("declare-load-balancer-scope", RELEASE, ("inputs", "values"), DELETE, "service.type", "must be set"),
    Fault("declare-load-balancer-scope", RELEASE, (*SERVICE, "externalIPs"), ["192.0.2.1"], "externalIPs", "be empty"),
    Fault("declare-load-balancer-scope", RELEASE, (*SERVICE, "annotations"), {}, "[pacman/scope]", "public or private"),
    Fault(
        "declare-load-balancer-scope",
        RELEASE,
        (*SERVICE, "annotations", f"{AWS}scheme"),
        "internal",
        "values.controller.service.annotations",
        "that make a load balancer public",
    ),
    Fault(
        "declare-load-balancer-scope",
        RELEASE,
        (*SERVICE, "annotations"),
        GKE_PRIVATE | {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"},
        "values.controller.service.annotations",
        "on one cloud, and no others",
    ),
    Fault("match-load-balancer-to-cloud", RELEASE, (*SERVICE, "annotations"), GKE_PRIVATE, "annotations", "of eks"),
    Fault("retain-volume-claims", "StatefulSet mongo", (*RETENTION, "whenScaled"), "Delete", "whenScaled", "Retain"),
    Fault("retain-volume-claims", "StatefulSet mongo", RETENTION, None, "whenDeleted", "must be Retain"),
    Fault("retain-volume-claims", "StatefulSet mongo", SPEC, None, "whenDeleted", "must be Retain"),
    Fault(
        "name-storage-classes",
        "StatefulSet mongo",
        (*CLAIM, "spec", "storageClassName"),
        DELETE,
        "spec.volumeClaimTemplates[data].spec.storageClassName",
        "must name a class",
    ),
    Fault("forbid-default-provider", "Service mongo", ("provider",), "", "provider", "pass parent=self"),
    Fault("forbid-default-provider", "Service mongo", ("provider",), "urn::default_4::id", "provider", "parent=self"),
    Fault("restrict-database-access", "StatefulSet mongo", LABELS, DELETE, UNSELECTED, "need a NetworkPolicy"),
    Fault("restrict-database-access", "StatefulSet mongo", LABELS, None, UNSELECTED, "need a NetworkPolicy"),
    Fault(
        "restrict-database-access",
        "NetworkPolicy mongo",
        ("inputs", "metadata", "namespace"),
        "elsewhere",
        UNSELECTED,
        "need a NetworkPolicy",
    ),
    Fault(
        "restrict-database-access",
        "NetworkPolicy mongo",
        (*SPEC, "podSelector"),
        {"matchLabels": {"app": "mongo"}},
        UNSELECTED,
        "need a NetworkPolicy",
    ),
    Fault("restrict-database-access", "NetworkPolicy mongo", (*SPEC, "policyTypes"), ["Egress"], UNSELECTED, "need a"),
    Fault("restrict-database-access", "NetworkPolicy mongo", (*SPEC, "ingress"), [{}], "ingress[0].from", "everybody"),
    Fault(
        "keep-generated-passwords-in-secrets",
        "ConfigMap mongo-init",
        ("inputs", "data", "uri"),
        "generated-for-mongo-app",
        "data.uri",
        "refer to the Secret",
    ),
]


@pytest.mark.parametrize("stack", stacks())
def test_every_committed_stack_satisfies_the_policy_pack(stack: str) -> None:
    assert violations(run_of(stack)) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_policy_pack_accepts_common_settings(variant: str) -> None:
    assert violations(run_of("dev", variant)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{f.policy}-{f.where[-1]}-{i}" for i, f in enumerate(FAULTS)])
def test_a_fault_is_reported_with_resource_field_and_fix(fault: Fault) -> None:
    culprit, _, field = fault.field.rpartition(": ")
    reported = [
        message.split(": ", 2)
        for policy, message in violations(plant(run_of("eks"), fault.resource, fault.where, fault.value))
        if policy == fault.policy
    ]
    culprit = culprit or fault.resource
    assert [r for r in reported if r[0] == culprit and field in r[1] and fault.fix in r[2]], reported


def test_every_policy_has_a_fault_that_it_reports() -> None:
    assert {fault.policy for fault in FAULTS} == {policy.name for policy in POLICIES}


def recorded(kind: str, inputs: dict[str, Any]) -> Resource:
    """An object of a kind that this program does not have, or has otherwise."""
    return Resource(f"urn::{kind}::x", f"kubernetes:{kind}", "x", inputs, "", "urn:p::own::id", {}, frozenset(), {})


def report_on(*objects: tuple[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """What the policy pack reports on some objects."""
    return violations(Recorded(tuple(recorded(kind, inputs) for kind, inputs in objects), {}))


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
        ("apps/v1:ReplicaSet", {"template": {"spec": BAD_POD}}, "spec.template"),
        ("core/v1:ReplicationController", {"template": {"spec": BAD_POD}}, "spec.template"),
    ],
)
def test_pods_are_judged_in_every_kind_that_has_pods(kind: str, spec: dict[str, Any], at: str) -> None:
    found = report_on((kind, {"metadata": LABELLED, "spec": spec}))
    assert {policy for policy, _ in found} >= {
        *("enforce-pod-security", "set-read-only-root", "pin-images"),
        *("set-resource-requests", "set-memory-limits", "forbid-plain-secrets"),
    }
    assert all(f" x: {at}" in message for _, message in found)


def test_a_container_without_a_name_is_reported_by_its_index() -> None:
    found = report_on(("core/v1:Pod", {"metadata": LABELLED, "spec": {"containers": [{"image": "x:latest"}]}}))
    assert [message for policy, message in found if policy == "set-memory-limits"] == [
        "Pod x: spec.containers[0].resources.limits.memory: must be set"
    ]


PATCHES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("apps/v1:DeploymentPatch", {"template": {"spec": BAD_POD}}, {"pin-images", "forbid-plain-secrets"}),
    ("core/v1:ServicePatch", {"type": "LoadBalancer"}, {"forbid-external-services"}),
    ("core/v1:ServicePatch", {"externalIPs": ["192.0.2.1"]}, {"forbid-external-services"}),
    (
        "apps/v1:StatefulSetPatch",
        {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}},
        {"retain-volume-claims"},
    ),
    ("apps/v1:DeploymentPatch", {"template": {"spec": {"containers": [{"name": "x"}]}}}, set()),
    ("core/v1:ServicePatch", {"selector": {}}, set()),
    ("apps/v1:StatefulSetPatch", {"replicas": 3}, set()),
]


@pytest.mark.parametrize(("kind", "spec", "policies"), PATCHES)
def test_a_patch_is_judged_by_what_it_sets(kind: str, spec: dict[str, Any], policies: set[str]) -> None:
    assert {policy for policy, _ in report_on((kind, {"metadata": {}, "spec": spec}))} == policies


def test_a_patch_of_a_namespace_must_not_weaken_pod_security() -> None:
    weak = {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}
    assert [policy for policy, _ in report_on(("core/v1:NamespacePatch", {"metadata": weak}))] == [
        "enforce-pod-security"
    ]
    assert report_on(("core/v1:NamespacePatch", {"metadata": {"labels": {"team": "x"}}})) == []


CLUSTER_IP = {"controller": {"service": {"type": "ClusterIP"}}}


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("yaml/v2:ConfigGroup", {"files": ["x.yaml"]}),
        ("helm.sh/v4:Chart", {"chart": "x"}),
        ("helm.sh/v3:Release", {"chart": "x", "version": "1.2.3", "values": CLUSTER_IP}),
        ("helm.sh/v3:Release", {"chart": "x", "version": "v1.2.3-rc.1", "values": {"service": {"type": "ClusterIP"}}}),
        ("networking.k8s.io/v1:NetworkPolicy", {"metadata": LABELLED, "spec": {"podSelector": {}}}),
        ("apps/v1:DeploymentPatch", {"metadata": {}}),
    ],
)
def test_an_object_without_fields_to_judge_violates_nothing(kind: str, inputs: dict[str, Any]) -> None:
    assert report_on((kind, inputs)) == []


def test_a_claim_of_its_own_must_name_its_storage_class() -> None:
    claim = ("core/v1:PersistentVolumeClaim", {"metadata": LABELLED, "spec": {}})
    assert [policy for policy, _ in report_on(claim)] == ["name-storage-classes"]


def test_a_value_that_is_not_known_yet_is_not_reported_as_a_leak() -> None:
    run = plant(run_of("dev"), "ConfigMap mongo-init", ("inputs", "data", "later"), UNKNOWN_STRING_VALUE)
    assert [name for name, _ in violations(run) if name == "keep-generated-passwords-in-secrets"] == []


def test_a_leak_is_reported_beside_a_value_that_is_not_known_yet() -> None:
    run = plant(run_of("dev"), "ConfigMap mongo-init", ("inputs", "data", "a-later"), UNKNOWN_STRING_VALUE)
    run = plant(run, "ConfigMap mongo-init", ("inputs", "data", "uri"), "generated-for-mongo-app")
    reported = [message for name, message in violations(run) if name == "keep-generated-passwords-in-secrets"]
    assert reported == [
        "ConfigMap mongo-init: data.uri: must not hold a generated password; refer to the Secret instead"
    ]


def test_a_leak_is_reported_while_another_password_is_not_known_yet() -> None:
    run = plant(run_of("dev"), "RandomPassword mongo-root", ("inputs", "result"), UNKNOWN_STRING_VALUE)
    run = plant(run, "ConfigMap mongo-init", ("inputs", "data", "uri"), "generated-for-mongo-app")
    assert "keep-generated-passwords-in-secrets" in {name for name, _ in violations(run)}


DIGEST = f"sha256:{'0' * 64}"


def pod_of(image: str) -> tuple[str, dict[str, Any]]:
    return "core/v1:Pod", {"metadata": LABELLED, "spec": {"containers": [{"name": "x", "image": image}]}}


@pytest.mark.parametrize(
    "image",
    [
        *(
            "saintdle/pacman:0.7.9",
            "mongo:8.0.32",
            "mongo:8.0.32-noble",
            "x:v1.2.3",
            "x:2024.10.1",
            "host:5000/x:1.2.3",
        ),
        *(f"x@{DIGEST}", f"x:latest@{DIGEST}", f"host:5000/x:1.27@{DIGEST}"),
    ],
)
def test_an_image_with_three_numbers_or_a_digest_is_pinned(image: str) -> None:
    assert "pin-images" not in {policy for policy, _ in report_on(pod_of(image))}


@pytest.mark.parametrize(
    "image",
    [
        *("nginx:1.27", "redis:7.2-alpine", "ubuntu:24.04", "x:2024.10", "x:20241001", "mongo:8", "mongo:noble", "x"),
        *("host:5000/x", "host:1.2.3/x", "x:1.2.3:4", "x:1.2.x", "x@sha256:0", f"@{DIGEST}", "x: 1.2.3", ""),
    ],
)
def test_an_image_whose_tag_can_move_is_not_pinned(image: str) -> None:
    assert "pin-images" in {policy for policy, _ in report_on(pod_of(image))}


@pytest.mark.parametrize("values", [None, {}, {"service": {}}, {"service": {"annotations": {}}}, {"service": "x"}])
def test_a_chart_whose_service_has_no_type_is_reported(values: Any) -> None:  # noqa: ANN401 - any JSON
    release = ("helm.sh/v3:Release", {"chart": "x", "version": "1.2.3", "values": values})
    assert [policy for policy, _ in report_on(release)] == ["declare-load-balancer-scope"]


def test_every_service_of_a_chart_is_judged() -> None:
    values = {"proxy": {"service": {"type": "LoadBalancer"}}, "extra": [{"service": {"type": "NodePort"}}]}
    found = report_on(("helm.sh/v3:Release", {"chart": "x", "version": "1.2.3", "values": CLUSTER_IP | values}))
    assert [message.split(": ")[1] for _, message in found] == [
        "values.proxy.service.annotations[pacman/scope]",
        "values.extra[0].service.annotations[pacman/scope]",
    ]


@pytest.mark.parametrize("stack", ["aks", "eks"])
def test_a_private_annotation_of_another_cloud_is_reported(stack: str) -> None:
    run = plant(run_of(stack), RELEASE, (*SERVICE, "annotations"), GKE_PRIVATE)
    assert violations(run) == [
        (
            "match-load-balancer-to-cloud",
            f"{RELEASE}: values.controller.service.annotations: must be those of {stack}, which the stack's volumes"
            " are on",
        )
    ]


def test_the_private_annotation_of_the_own_cloud_is_accepted() -> None:
    assert violations(plant(run_of("gke"), RELEASE, (*SERVICE, "annotations"), GKE_PRIVATE)) == []


def test_a_chart_without_a_load_balancer_needs_no_annotations() -> None:
    assert violations(plant(run_of("eks"), RELEASE, SERVICE, {"type": "ClusterIP"})) == []


def test_a_stack_whose_volumes_name_no_cloud_may_have_the_annotations_of_any_one_cloud() -> None:
    assert violations(plant(run_of("dev", "a controller"), RELEASE, (*SERVICE, "annotations"), GKE_PRIVATE)) == []


def report_on_database(rule: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What the policy pack reports on the database with one rule in its NetworkPolicy."""
    run = run_of("dev")
    database = Recorded((run.one("StatefulSet"), run.one("NetworkPolicy", "mongo")), {})
    return violations(plant(database, "NetworkPolicy mongo", (*SPEC, "ingress"), [rule]))


MONGO = {"matchLabels": {"app.kubernetes.io/name": "mongo"}}
OWN = {"kubernetes.io/metadata.name": "pacman"}
EVERYBODY: list[dict[str, Any] | None] = [
    {"ipBlock": {"cidr": "0.0.0.0/0"}},
    {"ipBlock": {"cidr": "::/0"}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}},
    {"ipBlock": {"cidr": "128.0.0.0/1"}},
    {"ipBlock": {"cidr": "2000::/3"}},
    {"ipBlock": {"cidr": "anywhere"}},
    {"ipBlock": {}},
    {"namespaceSelector": {}},
    {"namespaceSelector": {"matchLabels": {}}},
    {"namespaceSelector": {}, "podSelector": {}},
    {"namespaceSelector": {"matchLabels": OWN}},
    {"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}},
    {
        "namespaceSelector": {
            "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["pacman"]}]
        }
    },
    {"podSelector": {}},
    {"podSelector": {"matchLabels": None}},
    {"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
    {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}},
    {"podSelector": None, "namespaceSelector": None, "ipBlock": None},
    {},
    None,
]


@pytest.mark.parametrize("peer", EVERYBODY, ids=str)
def test_a_peer_that_admits_everybody_to_a_database_is_reported(peer: dict[str, Any] | None) -> None:
    found = report_on_database({"from": [{"podSelector": MONGO}, peer]})
    fix = "must name the clients of StatefulSet mongo, and not admit everybody"
    assert found == [("restrict-database-access", f"NetworkPolicy mongo: spec.ingress[0].from[1]: {fix}")]


@pytest.mark.parametrize(
    "rule", [None, {}, {"from": None}, {"from": []}, {"from": "x"}, {"ports": [{"port": 27017}]}], ids=str
)
def test_a_rule_without_peers_admits_everybody_to_a_database(rule: dict[str, Any] | None) -> None:
    assert [message.split(": ")[1] for _, message in report_on_database(rule)] == ["spec.ingress[0].from"]


@pytest.mark.parametrize(
    "peer",
    [
        {"ipBlock": {"cidr": "10.0.0.0/8"}},
        {"ipBlock": {"cidr": "192.0.2.7/32"}},
        {"ipBlock": {"cidr": "192.0.2.7/24"}},
        {"ipBlock": {"cidr": "fd00::/8"}},
        {"podSelector": MONGO},
        {"podSelector": {"matchExpressions": [{"key": "mongo-client", "operator": "Exists"}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]}},
        {"namespaceSelector": {}, "podSelector": MONGO},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ],
    ids=str,
)
def test_a_peer_that_names_clients_of_a_database_is_accepted(peer: dict[str, Any]) -> None:
    assert report_on_database({"from": [peer]}) == []


BY_EXPRESSION = {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": ["mongo"]}]}


def test_a_policy_may_select_a_database_by_an_expression() -> None:
    assert violations(plant(run_of("dev"), "NetworkPolicy mongo", (*SPEC, "podSelector"), BY_EXPRESSION)) == []


@pytest.mark.parametrize("selector", [{}, BY_EXPRESSION])
@pytest.mark.parametrize("kind", ["NetworkPolicy", "NetworkPolicyPatch"])
def test_a_second_policy_that_admits_everybody_to_a_database_is_reported(kind: str, selector: dict[str, Any]) -> None:
    metadata = LABELLED | {"namespace": "pacman"}
    policy = {"metadata": metadata, "spec": {"podSelector": selector, "ingress": [{}]}}
    run = Recorded((*run_of("dev").resources, recorded(f"networking.k8s.io/v1:{kind}", policy)), {})
    assert [message.rpartition(": ")[0] for _, message in violations(run)] == [f"{kind} x: spec.ingress[0].from"]


def test_containers_without_ephemeral_storage_are_reported() -> None:
    policy = [resource_policy(set_ephemeral_storage)]
    pod: dict[str, Any] = {"initContainers": [{"name": "x"}], "containers": [{"name": "y", "resources": None}]}
    found = violations(Recorded((recorded("core/v1:Pod", {"spec": pod}),), {}), policy)
    assert {name for name, _ in found} == {"set-ephemeral-storage"}
    assert [message for _, message in found] == [
        f"Pod x: spec.{container}.resources.{group}.ephemeral-storage: must be set"
        for container in ("initContainers[x]", "containers[y]")
        for group in ("requests", "limits")
    ]
    for container in (*pod["initContainers"], *pod["containers"]):
        container["resources"] = {group: {"ephemeral-storage": "64Mi"} for group in ("requests", "limits")}
    assert violations(Recorded((recorded("core/v1:Pod", {"spec": pod}),), {}), policy) == []


def _objects() -> dict[str, Resource]:
    """One object of every kind of the stack `eks`, and of kinds and fields that the rules read and it does not have."""
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"namespaceSelector": {"matchExpressions": [{"key": "a"}]}}]
    pod = BAD_POD | {
        "volumes": [{"name": "x", "image": {"reference": "x:1"}}, {"name": "y", "hostPath": {"path": "/"}}],
        "securityContext": {
            "sysctls": [{"name": "x"}],
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": {"type": "x"},
            "windowsOptions": {"hostProcess": True},
        },
        "ephemeralContainers": [
            {"lifecycle": {"preStop": {"httpGet": {"host": "x"}}}, "securityContext": {"procMount": "Default"}}
        ],
    }
    others: dict[str, dict[str, Any]] = {
        "core/v1:Pod": {"metadata": LABELLED, "spec": pod},
        "batch/v1:CronJob": {"spec": {"jobTemplate": {"spec": {"template": {"spec": BAD_POD}}}}},
        "apps/v1:DeploymentPatch": {"spec": {"template": {"spec": BAD_POD}}},
        "apps/v1:StatefulSetPatch": {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}},
        "core/v1:ServicePatch": {"spec": {"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]}},
        "core/v1:NamespacePatch": {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}},
        "core/v1:PersistentVolumeClaim": {"metadata": LABELLED, "spec": {"storageClassName": "gp2"}},
        "networking.k8s.io/v1:NetworkPolicyPatch": {
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]},
                "ingress": [{"from": peers}],
            }
        },
    }
    return {r.kind: r for r in run_of("eks").resources} | {
        kind.rpartition(":")[2]: recorded(kind, inputs) for kind, inputs in others.items()
    }


def _broken(of: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Breaks one value in place, gives its path, and repairs it: each value at any depth, in each way."""
    for step in list(of) if isinstance(of, dict) else range(len(of)) if isinstance(of, list) else ():
        whole = of[step]
        for value in (None, "x", 7, [None], {"x": None}):
            of[step] = value
            yield f"{path}.{step} = {value}"
        if isinstance(of, dict):
            del of[step]
            yield f"{path}.{step} is not set"
        of[step] = whole
        yield from _broken(whole, f"{path}.{step}")


def test_no_policy_raises_on_a_field_that_is_null_missing_or_of_another_type() -> None:
    objects = _objects()
    of_stack = [policy for policy in POLICIES if isinstance(policy, StackValidationPolicy)]
    of_resource = [policy for policy in POLICIES if policy not in of_stack]
    for kind, whole in objects.items():
        broken = copy.deepcopy(whole)
        broken.inputs = broken.manifest
        # The policies of a whole stack compare these with each other.
        others = tuple(objects[other] for other in ("StatefulSet", "NetworkPolicy", "Release") if other != kind)
        for path in _broken(broken.inputs):
            try:
                violations(Recorded((broken,), {}), of_resource)
                violations(Recorded((broken, *others), {}), of_stack)
            except Exception as problem:
                raise AssertionError(f"{kind}{path}") from problem


RESTRICTED_FAULTS: list[tuple[Where, object, str]] = [
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
def test_what_pod_security_refuses_is_reported_with_its_field(where: Where, value: object, field: str) -> None:
    run = plant(run_of("dev"), "StatefulSet mongo", (*POD, *where), value)
    reported = [message.split(": ")[:2] for name, message in violations(run) if name == "enforce-pod-security"]
    assert ["StatefulSet mongo", f"spec.template.spec.{field}"] in reported


@pytest.mark.parametrize("field", ["runAsNonRoot", "seccompProfile"])
def test_a_null_field_of_a_container_leaves_the_value_of_its_pod(field: str) -> None:
    run = plant(run_of("dev"), "StatefulSet mongo", (*CONTAINER, "securityContext", field), None)
    assert violations(run) == []


def test_a_null_kind_of_a_volume_is_not_a_volume_of_that_kind() -> None:
    volume: dict[str, Any] = {"name": "tools", "emptyDir": {}, "hostPath": None}
    assert violations(plant(run_of("dev"), "StatefulSet mongo", (*POD, "volumes", 1), volume)) == []
