"""The invariants of `invariants.py` over every committed stack, and the proof that each of them can fail.

Mocks show what the program declares. That a cluster takes it, that the pods start under these rules and that a
NetworkPolicy is enforced, they cannot prove.
"""

import copy
from dataclasses import fields
from typing import Any

import pytest

from stack import settings
from tests.harness.faults import CONTAINER, DELETE, EVERYTHING, INSTANCE, LABELS, POD, REVEAL, VARIANTS, plant, run_of
from tests.unit import invariants
from tests.unit.invariants import CHECKS, Check
from tools.recorder import SecretValue, defaults, stack_config, stacks, unwrap


def title(check: Check) -> str:
    return check.__name__


def test_the_committed_stacks_are_found() -> None:
    assert set(stacks()) >= {"dev", "sandbox", "eks", "aks", "gke", "platform"}


@pytest.mark.parametrize("stack", stacks())
@pytest.mark.parametrize("check", CHECKS, ids=title)
def test_an_invariant_holds_in_every_stack(stack: str, check: Check) -> None:
    assert list(check(run_of(stack))) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_invariant_holds_with_common_settings(variant: str) -> None:
    assert [fault for check in CHECKS for fault in check(run_of("dev", variant))] == []


@pytest.mark.parametrize("stack", stacks())
def test_the_provider_is_bound_to_the_context_of_the_stack(stack: str) -> None:
    assert run_of(stack).one("kubernetes").inputs["context"] == stack_config(stack)["pacman:context"]


def test_dev_and_sandbox_differ_in_context_and_images_only() -> None:
    dev, sandbox = (settings.load(defaults() | stack_config(stack)) for stack in ("dev", "sandbox"))
    differ = {field.name for field in fields(dev) if getattr(dev, field.name) != getattr(sandbox, field.name)}
    assert differ == {"context", "mongo_image", "pacman_image"}, "set in Pulumi.dev.yaml and Pulumi.sandbox.yaml alike"


@pytest.mark.parametrize("stack", stacks())
def test_nothing_is_protected_retained_hooked_or_ignored_but_data_and_what_others_own(stack: str) -> None:
    """The lesson ends with `pulumi destroy`, which takes everything, on a plain CLI. A cloud's data are protected."""
    usual = {"aliases", "additionalSecretOutputs"}  # the SDK's own, from older API versions and secret fields
    given = {
        (r.kind, key, str(value))
        for r in run_of(stack).resources
        for key, value in r.options.items()
        if key not in usual
    }
    scaled = {("Deployment", "ignoreChanges", "['spec.replicas']")}
    data = ("Namespace", "StatefulSet", "RandomPassword", "PersistentVolumeClaim")
    protected = {(kind, "protect", "True") for kind in data}
    on_a_cloud = stack in ("eks", "aks", "gke")
    assert given & protected == (protected if on_a_cloud else set())
    made = {("StorageClass", "ignoreChanges", "['reclaimPolicy']")}
    assert given - scaled - protected - made == {
        ("StatefulSet", "ignoreChanges", "['spec.volumeClaimTemplates']"),
        ("PersistentVolumeClaim", "ignoreChanges", "['spec']"),
        ("Job", "deleteBeforeReplace", "True"),
        ("Job", "deleteBeforeReplaceDefined", "True"),
    }
    assert bool(given & scaled) == bool(run_of(stack).of("HorizontalPodAutoscaler"))


CRON_POD = ("inputs", "spec", "jobTemplate", "spec", "template", "spec")
# Check, resource, where in it, what stands there then, and (a part of) the field that the report must name: of that
# resource, or, with kind and name before it, of the one that no longer fits.
FAULTS: list[tuple[Check, str, tuple[str | int, ...], Any, str]] = [
    (invariants.parents, "Service mongo", ("parent",), "urn:pulumi:t::p::pulumi:pulumi:Stack::p-t", "parent"),
    (invariants.parents, "RandomPassword mongo-root", ("parent",), "", "parent"),
    (invariants.parents, "NginxIngress pacman", ("parent",), "urn:pulumi:t::p::other::x", "parent"),
    (invariants.providers, "kubernetes kubernetes", ("inputs", "kubeconfig"), DELETE, "kubeconfig"),
    (invariants.providers, "kubernetes kubernetes", ("inputs", "context"), "", "context"),
    (invariants.names, "Secret mongo-app", ("name",), "app", "Secret app: name"),
    (invariants.names, "Secret mongo-app", ("inputs", "metadata", "name"), "app", "metadata.name"),
    (invariants.names, "ConfigMap mongo-init", ("inputs", "metadata", "name"), DELETE, "metadata.name"),
    (invariants.names, "ClusterRole pacman-node-reader", ("inputs", "metadata", "name"), "pacman-x", "metadata.name"),
    (invariants.names, "ClusterRole pacman-node-reader", ("inputs", "metadata", "name"), "pacman:x", "metadata.name"),
    (invariants.namespaces, "Job mongo-init", ("inputs", "metadata", "namespace"), DELETE, "metadata.namespace"),
    (invariants.namespaces, "Service pacman", ("inputs", "metadata", "namespace"), "default", "metadata.namespace"),
    (invariants.labels, "Ingress pacman", ("inputs", "metadata", "labels"), {}, "metadata.labels"),
    (invariants.labels, "Secret mongo-app", ("inputs", "metadata", "labels", INSTANCE), "x", "metadata.labels"),
    (invariants.labels, "Job mongo-init", (*LABELS, "app.kubernetes.io/component"), DELETE, "spec.template.metadata"),
    (
        invariants.field_owners,
        "NetworkPolicy mongo",
        ("inputs", "metadata", "annotations", "pulumi.com/patchForce"),
        "false",
        "metadata.annotations",
    ),
    (
        invariants.field_owners,
        "StorageClassPatch default-storage-class-demote-standard",
        ("inputs", "metadata", "annotations"),
        {},
        "metadata.annotations",
    ),
    (invariants.selectors, "Service pacman", ("inputs", "spec", "selector", INSTANCE), "other", "spec.selector"),
    (invariants.selectors, "Service mongo", ("inputs", "spec", "selector", INSTANCE), DELETE, "spec.selector"),
    (invariants.selectors, "StatefulSet mongo", (*LABELS, INSTANCE), "other", "spec.selector"),
    (
        invariants.selectors,
        "PodDisruptionBudget mongo",
        ("inputs", "spec", "selector", "matchLabels"),
        {"app": "mongo"},
        "spec.selector",
    ),
    (
        invariants.selectors,
        "NetworkPolicy pacman",
        ("inputs", "spec", "podSelector", "matchLabels", INSTANCE),
        "mongo",
        "spec.podSelector.matchLabels",
    ),
    (
        invariants.selectors,
        "Deployment pacman",
        ("inputs", "spec", "selector", "matchLabels", "app.kubernetes.io/part-of"),
        "pacman",
        "spec.selector",
    ),
    (
        invariants.selectors,
        "NetworkPolicy mongo",
        ("inputs", "spec", "ingress", 0, "from", 2, "podSelector", "matchLabels"),
        {"mongo-customer": "true"},
        "spec.ingress[0].from[2].podSelector",
    ),
    (
        invariants.ports,
        "StatefulSet mongo",
        (*CONTAINER, "ports", 0, "name"),
        "db",
        "containers[mongo].startupProbe",
    ),
    (invariants.ports, "Service mongo", ("inputs", "spec", "ports", 0, "targetPort"), "db", "spec.ports[mongo]"),
    (invariants.ports, "Service mongo", ("inputs", "spec", "clusterIP"), DELETE, "StatefulSet mongo: spec.serviceName"),
    (invariants.ports, "StatefulSet mongo", ("inputs", "spec", "serviceName"), "db", "spec.serviceName"),
    (invariants.ports, "Deployment pacman", (*CONTAINER, "livenessProbe", "httpGet", "port"), "web", "livenessProbe"),
    (invariants.ports, "Deployment pacman", (*CONTAINER, "ports", 0, "containerPort"), 3000, "env[PORT]"),
    (
        invariants.ports,
        "Service mongo",
        ("inputs", "spec", "ports", 0, "port"),
        27018,
        "Deployment pacman: env[MONGO_SERVICE_HOST]",
    ),
    (invariants.ports, "NetworkPolicy mongo", ("inputs", "spec", "ingress", 0, "ports"), [], "spec.ingress[0].ports"),
    (
        invariants.ports,
        "Service pacman",
        ("inputs", "spec", "ports", 0, "port"),
        8080,
        "Ingress pacman: spec.rules[/].backend",
    ),
    (invariants.tokens, "StatefulSet mongo", (*POD, "automountServiceAccountToken"), True, "automount"),
    (invariants.tokens, "Job mongo-init", (*POD, "automountServiceAccountToken"), DELETE, "automount"),
    (invariants.tokens, "Deployment pacman", (*POD, "serviceAccountName"), "default", "automount"),
    (invariants.tokens, "ServiceAccount pacman", ("inputs", "automountServiceAccountToken"), DELETE, "automount"),
    (
        invariants.tokens,
        "ClusterRole pacman-node-reader",
        ("inputs", "rules", 0, "verbs"),
        ["get", "list"],
        "rules",
    ),
    (invariants.secrets, "Secret mongo-app", ("inputs", "stringData"), REVEAL, "stringData.password"),
    (
        invariants.secrets,
        "ConfigMap mongo-init",
        ("inputs", "data", "uri"),
        "mongodb://pacman:generated-for-mongo-app@mongo",
        "data.uri",
    ),
    (
        invariants.secrets,
        "Deployment pacman",
        (*CONTAINER, "env", 0, "value"),
        SecretValue("generated-for-mongo-app"),
        "spec.template.spec.containers[0].env[0].value",
    ),
    (invariants.secrets, "MongoStatefulSet mongo", ("outputs", "uri"), REVEAL, "uri"),
    (invariants.service_links, "Deployment pacman", (*POD, "enableServiceLinks"), DELETE, "enableServiceLinks"),
    (
        invariants.policies,
        "NetworkPolicy pacman-default-deny",
        ("inputs", "spec", "ingress"),
        [{}],
        "Namespace pacman: NetworkPolicy",
    ),
    (
        invariants.policies,
        "NetworkPolicy pacman-default-deny",
        ("inputs", "spec", "podSelector"),
        {"matchLabels": {"app": "x"}},
        "Job mongo-init: spec.template.metadata.labels",
    ),
    (invariants.outputs, "MongoStatefulSet mongo", ("outputs_registered",), False, "outputs"),
    (invariants.dependencies, "Service pacman", ("depends_on",), EVERYTHING, "dependsOn"),
    (invariants.dependencies, "DefaultStorageClass default-storage-class", ("depends_on",), frozenset(), "dependsOn"),
    (invariants.dependencies, "PacmanDeployment pacman", ("depends_on",), frozenset(), "dependsOn"),
    (invariants.dependencies, "NginxIngress pacman", ("depends_on",), frozenset(), "dependsOn"),
    (invariants.dependencies, "MongoStatefulSet mongo", ("depends_on",), EVERYTHING, "dependsOn"),
]


@pytest.mark.parametrize(
    ("check", "resource", "where", "value", "field"),
    FAULTS,
    ids=[f"{f[0].__name__}-{i}" for i, f in enumerate(FAULTS)],
)
def test_an_invariant_reports_what_breaks_it(
    check: Check, resource: str, where: tuple[str | int, ...], value: object, field: str
) -> None:
    culprit, _, part = field.rpartition(": ")
    told = [fault.split(": ") for fault in check(plant(run_of("dev"), resource, where, value))]
    assert [fault for fault in told if fault[0] == (culprit or resource) and part in fault[1]], told


@pytest.mark.parametrize(
    ("resource", "where", "value", "part"),
    [
        ("CronJob mongo-snapshot", (*CRON_POD, "automountServiceAccountToken"), False, "automount"),
        ("CronJob mongo-snapshot", (*CRON_POD, "serviceAccountName"), DELETE, "automount"),
        ("CronJob mongo-backup", (*CRON_POD, "automountServiceAccountToken"), True, "automount"),
        ("ServiceAccount mongo-snapshot", ("inputs", "automountServiceAccountToken"), DELETE, "automount"),
        ("Role mongo-snapshot", ("inputs", "rules", 0, "verbs"), ["*"], "rules"),
        ("Role mongo-snapshot", ("inputs", "rules", 0, "resources"), ["volumesnapshots", "secrets"], "rules"),
    ],
)
def test_only_the_job_of_snapshots_has_a_token_and_may_do_no_more_than_it_needs(
    resource: str, where: tuple[str | int, ...], value: object, part: str
) -> None:
    faulty = plant(run_of("dev", "snapshots"), resource, where, value)
    (told,) = invariants.tokens(faulty)
    assert told.startswith(f"{resource}: ")
    assert part in told.split(": ")[1]


def test_every_invariant_is_shown_to_fail() -> None:
    assert {fault[0] for fault in FAULTS} == set(CHECKS)


def test_a_secret_in_an_export_is_reported() -> None:
    faulty = copy.deepcopy(run_of("dev"))
    faulty.exports["mongo_uri"] = unwrap(faulty.exports["mongo_uri"])
    assert list(invariants.secrets(faulty)) == ["export mongo_uri: holds a secret in the open"]


def test_a_pod_that_listens_is_closed_in_a_namespace_of_somebody_else_too() -> None:
    faulty = plant(
        run_of("platform"), "NetworkPolicy mongo", ("inputs", "spec", "podSelector", "matchLabels"), {"a": "b"}
    )
    assert list(invariants.policies(faulty)) == [
        "StatefulSet mongo: spec.template.metadata.labels: no NetworkPolicy selects these pods"
    ]
