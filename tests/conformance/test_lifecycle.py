"""Kind by kind: preview, create, no change, AlreadyExists, patch, conflict, drift, update, replace, delete.

All kinds go through it together in one stack, because most of the time goes into starting the engine. The workloads
have no pods and nothing is waited for: that is what test_await.py is about.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conformance.conftest import Kubectl, Stack
from tests.harness.engine import Engine, Result

Object = dict[str, Any]
Path = str
"""A path with dots."""

_SKIP = {"pulumi.com/skipAwait": "true"}
_LABELS = {"app": "conformance"}
_POD = {
    "terminationGracePeriodSeconds": 1,
    "containers": [
        {"name": "main", "image": "sandbox/busybox:1.35", "imagePullPolicy": "Never", "command": ["sleep", "3600"]}
    ],
}
_TEMPLATE = {"metadata": {"labels": _LABELS}, "spec": _POD}
_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]


@dataclass(frozen=True)
class Kind:
    """One kind: an object of it, and two changes to that."""

    module: str
    """Where the SDK has it."""
    name: str
    body: Object
    """Its fields beside metadata."""
    update: Mapping[Path, Any]
    """A change that it takes in place."""
    replace: Mapping[Path, Any] = field(default_factory=dict)
    """A change that only a new object can have; None deletes. Empty where every change goes in place."""
    replaced_by: Path = ""
    """The path in the diff that the replacement must be put down to."""
    namespaced: bool = True
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def delete_is_awaited(self) -> bool:
        """False where skipAwait holds for the deletion too; then a replacement by the same name may come too soon."""
        return self.annotations is not _SKIP or self.name not in ("Job", "Pod")

    @property
    def api_version(self) -> str:
        """The object's own version."""
        group, version = self.module.split(".")
        domain = {"core": "", "networking": "networking.k8s.io/", "storage": "storage.k8s.io/"} | {
            "rbac": "rbac.authorization.k8s.io/"
        }
        return domain.get(group, f"{group}/") + version

    def identity(self, namespace: str, **metadata: Object) -> Object:
        """As much as says which object it is, with further metadata; one outside a namespace is named after it."""
        name = {"name": "conformance", "namespace": namespace} if self.namespaced else {"name": f"{namespace}-object"}
        return {"apiVersion": self.api_version, "kind": self.name, "metadata": {**name, **metadata}}

    def object(self, namespace: str, *changes: Mapping[Path, Any]) -> Object:
        """The arguments for the SDK, with changes to them."""
        annotations = {"annotations": dict(self.annotations)}
        metadata = {**self.identity(namespace)["metadata"], "labels": {"mark": "ours"}, **annotations}
        made: Object = {"metadata": metadata, **copy.deepcopy(self.body)}
        for change in changes:
            for path, value in change.items():
                _set(made, path.split("."), value)
        return made


_LABEL = {"metadata.labels.changed": "yes"}

KINDS = [
    Kind("core.v1", "Namespace", {}, _LABEL, namespaced=False),
    Kind("core.v1", "ConfigMap", {"data": {"key": "one"}}, _LABEL, {"data.key": "two"}, "data.key"),
    Kind("core.v1", "Secret", {"data": {"key": "b25l"}}, _LABEL, {"data.key": "dHdv"}, "data.key"),
    Kind("core.v1", "ServiceAccount", {"automountServiceAccountToken": True}, {"automountServiceAccountToken": False}),
    Kind(
        "core.v1",
        "Service",
        {"spec": {"clusterIP": "None", "selector": _LABELS, "ports": [{"name": "http", "port": 80}]}},
        {"spec.ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        {"spec.clusterIP": None},
        "spec.clusterIP",
        annotations=_SKIP,
    ),
    Kind(
        "apps.v1",
        "StatefulSet",
        {
            "spec": {
                "replicas": 0,
                "serviceName": "one",
                "selector": {"matchLabels": _LABELS},
                "template": _TEMPLATE,
            }
        },
        {"spec.template.spec.terminationGracePeriodSeconds": 2},
        {"spec.serviceName": "two"},
        "spec.serviceName",
    ),
    Kind(
        "apps.v1",
        "Deployment",
        {"spec": {"replicas": 0, "selector": {"matchLabels": _LABELS}, "template": _TEMPLATE}},
        {"spec.template.spec.terminationGracePeriodSeconds": 2},
        {"spec.selector.matchLabels.tier": "web", "spec.template.metadata.labels.tier": "web"},
        "spec.selector.matchLabels.tier",
    ),
    Kind(
        "batch.v1",
        "Job",
        {"spec": {"suspend": True, "template": {"spec": {**_POD, "restartPolicy": "Never"}}}},
        {"spec.ttlSecondsAfterFinished": 3600},
        {"spec.template.spec.terminationGracePeriodSeconds": 2},
        "spec.template.spec.terminationGracePeriodSeconds",
        annotations=_SKIP,
    ),
    Kind(
        "batch.v1",
        "CronJob",
        {
            "spec": {
                "schedule": "0 0 1 1 *",
                "suspend": True,
                "jobTemplate": {"spec": {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}},
            }
        },
        {"spec.schedule": "0 1 1 1 *"},
    ),
    Kind(
        "core.v1",
        "Pod",
        {"spec": {**_POD, "nodeSelector": {"conformance": "nowhere"}}},
        _LABEL,
        {"spec.terminationGracePeriodSeconds": 2},
        "spec.terminationGracePeriodSeconds",
        annotations=_SKIP,
    ),
    Kind(
        "core.v1",
        "PersistentVolumeClaim",
        {
            "spec": {
                "storageClassName": "conformance-absent",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1024Mi"}},
            }
        },
        _LABEL,
        {"spec.accessModes": ["ReadWriteMany"]},
        "spec.accessModes[0]",
        annotations=_SKIP,
    ),
    Kind(
        "policy.v1",
        "PodDisruptionBudget",
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": _LABELS}}},
        {"spec.minAvailable": 2},
    ),
    Kind(
        "networking.v1",
        "NetworkPolicy",
        {"spec": {"podSelector": {"matchLabels": _LABELS}, "policyTypes": ["Ingress"]}},
        {"spec.policyTypes": ["Ingress", "Egress"]},
    ),
    Kind(
        "networking.v1",
        "Ingress",
        {
            "spec": {
                "ingressClassName": "conformance-absent",
                "defaultBackend": {"service": {"name": "nobody", "port": {"number": 80}}},
            }
        },
        {"spec.defaultBackend.service.port.number": 81},
        annotations=_SKIP,
    ),
    Kind(
        "networking.v1", "IngressClass", {"spec": {"controller": "conformance.invalid/none"}}, _LABEL, namespaced=False
    ),
    Kind(
        "storage.v1",
        "StorageClass",
        {"provisioner": "conformance.invalid/one", "parameters": {"kind": "one"}, "volumeBindingMode": "Immediate"},
        {"allowVolumeExpansion": True},
        {"parameters.kind": "two"},
        "parameters.kind",
        namespaced=False,
    ),
    Kind(
        "rbac.v1",
        "ClusterRole",
        {"rules": _RULES},
        {"rules": [{**_RULES[0], "verbs": ["get", "list"]}]},
        namespaced=False,
    ),
    Kind("rbac.v1", "Role", {"rules": _RULES}, {"rules": [{**_RULES[0], "verbs": ["get", "list"]}]}),
    Kind(
        "rbac.v1",
        "ClusterRoleBinding",
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "conformance-one"},
            "subjects": [{"kind": "Group", "name": "conformance-one", "apiGroup": "rbac.authorization.k8s.io"}],
        },
        {"subjects": [{"kind": "Group", "name": "conformance-two", "apiGroup": "rbac.authorization.k8s.io"}]},
        {"roleRef.name": "conformance-two"},
        "roleRef.name",
        namespaced=False,
    ),
    Kind(
        "rbac.v1",
        "RoleBinding",
        {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "conformance-one"},
            "subjects": [{"kind": "Group", "name": "conformance-one", "apiGroup": "rbac.authorization.k8s.io"}],
        },
        {"subjects": [{"kind": "Group", "name": "conformance-two", "apiGroup": "rbac.authorization.k8s.io"}]},
        {"roleRef.name": "conformance-two"},
        "roleRef.name",
    ),
    Kind(
        "autoscaling.v2",
        "HorizontalPodAutoscaler",
        {
            "spec": {
                "maxReplicas": 2,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"},
            }
        },
        {"spec.maxReplicas": 3},
    ),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)

_PROGRAM = """
from pathlib import Path
for each in json.loads(Path("objects.json").read_text()):
    module = k8s
    for part in each["module"].split("."):
        module = getattr(module, part)
    snake = {"automountServiceAccountToken": "automount_service_account_token", "roleRef": "role_ref",
             "allowVolumeExpansion": "allow_volume_expansion", "volumeBindingMode": "volume_binding_mode"}
    body = {snake.get(key, key): value for key, value in each["body"].items()}
    getattr(module, each["class"])(each["kind"], opts=on, **body)
"""


class Life:
    """What the commands did, and what the cluster had after each."""

    preview: Result
    after_preview: Mapping[str, Object | None]
    create: Result
    created: Mapping[str, Object | None]
    state: Mapping[str, Object]
    same: Result
    refresh: Result
    same_after_refresh: Result
    taken: Result
    patch: Result
    patched: Mapping[str, Object | None]
    unpatch: Result
    unpatched: Mapping[str, Object | None]
    conflict: Result
    contested: Mapping[str, Object | None]
    heal: Result
    healed: Mapping[str, Object | None]
    update_preview: Result
    update: Result
    updated: Mapping[str, Object | None]
    replace_preview: Result
    replace: Result
    replaced: Mapping[str, Object | None]
    delete: Result
    deleted: Mapping[str, Object | None]


@pytest.fixture(scope="module")
def life(stack: Stack, kubectl: Kubectl) -> Iterator[Life]:
    def declare(engine: Engine, *changes: Callable[[Kind], Mapping[Path, Any]]) -> None:
        """Writes all objects, with changes to each."""
        described = [
            {
                "module": kind.module,
                "kind": kind.name,
                "class": kind.name,
                "body": kind.object(kubectl.namespace, *[change(kind) for change in changes]),
            }
            for kind in KINDS
        ]
        (engine.folder / "objects.json").write_text(json.dumps(described))

    def declare_patches(engine: Engine) -> None:
        """Writes a patch of each object, which adds a label."""
        described = [
            {
                "module": kind.module,
                "kind": kind.name,
                "class": f"{kind.name}Patch",
                "body": {
                    "metadata": kind.identity(
                        kubectl.namespace, labels={"patch": "applied"}, annotations=dict(kind.annotations)
                    )["metadata"]
                },
            }
            for kind in KINDS
        ]
        (engine.folder / "objects.json").write_text(json.dumps(described))

    def marked(mark: str) -> Object:
        """All objects with another value in the label that the stack sets, for kubectl."""
        items = [kind.identity(kubectl.namespace, labels={"mark": mark}) for kind in KINDS]
        return {"apiVersion": "v1", "kind": "List", "items": items}

    def look() -> dict[str, Object | None]:
        found = {each["kind"]: each for each in kubectl.get_all([k.identity(kubectl.namespace) for k in KINDS])}
        return {kind.name: found.get(kind.name) for kind in KINDS}

    def update(kind: Kind) -> Mapping[Path, Any]:
        return kind.update

    def replace(kind: Kind) -> Mapping[Path, Any]:
        return kind.replace

    def replace_where_awaited(kind: Kind) -> Mapping[Path, Any]:
        return kind.replace if kind.delete_is_awaited else {}

    with stack(_PROGRAM) as engine, stack(_PROGRAM) as other:
        life = Life()
        declare(engine)
        life.preview, life.after_preview = engine.preview().ok(), look()
        life.create, life.created = engine.up().ok(), look()
        life.state = engine.resources()
        life.same, life.refresh = engine.up().ok(), engine.refresh().ok()
        life.same_after_refresh = engine.preview("--expect-no-changes")

        declare(other)
        life.taken = other.up("--continue-on-error")
        declare_patches(other)
        life.patch, life.patched = other.up().ok(), look()
        life.unpatch, life.unpatched = other.destroy().ok(), look()

        kubectl.apply(marked("theirs"), "somebody", force=True)
        declare(engine, lambda _: {"metadata.labels.mark": "ours-still"})
        life.conflict, life.contested = engine.up("--continue-on-error"), look()
        kubectl("label", "--overwrite", "--filename", "-", "mark=kubectls", stdin=json.dumps(marked("")))
        declare(engine)
        life.heal, life.healed = engine.up("--refresh").ok(), look()

        declare(engine, update)
        life.update_preview, life.update, life.updated = engine.preview().ok(), engine.up().ok(), look()
        declare(engine, update, replace)
        life.replace_preview = engine.preview().ok()
        declare(engine, update, replace_where_awaited)
        life.replace, life.replaced = engine.up().ok(), look()
        life.delete, life.deleted = engine.destroy().ok(), look()
        yield life


@each_kind
def test_a_preview_makes_nothing(life: Life, kind: Kind) -> None:
    assert life.preview.op(kind.name) == "create"
    assert life.after_preview[kind.name] is None


@each_kind
def test_create_makes_the_object_as_declared(life: Life, kind: Kind, kubectl: Kubectl) -> None:
    assert life.create.op(kind.name) == "create"
    live = life.created[kind.name]
    assert live is not None
    wanted = kind.object(kubectl.namespace)
    assert live["metadata"]["name"] == wanted["metadata"]["name"]
    assert wanted["metadata"]["annotations"].items() <= (live["metadata"].get("annotations") or {}).items()


@each_kind
def test_the_state_has_the_live_object(life: Life, kind: Kind, kubectl: Kubectl) -> None:
    state, live = life.state[kind.name], life.created[kind.name]
    assert live is not None
    assert state["outputs"]["metadata"]["uid"] == live["metadata"]["uid"]
    assert (state["outputs"]["apiVersion"], state["outputs"]["kind"]) == (live["apiVersion"], live["kind"])
    name = kind.identity(kubectl.namespace)["metadata"]["name"]
    assert state["id"] == (f"{kubectl.namespace}/{name}" if kind.namespaced else name)


@each_kind
def test_the_object_has_a_field_manager_of_its_own(life: Life, kind: Kind) -> None:
    live = life.created[kind.name]
    assert live is not None
    manager = life.state[kind.name]["outputs"]["__fieldManager"]
    assert manager in {each["manager"] for each in live["metadata"]["managedFields"]}


def test_no_two_objects_share_a_field_manager(life: Life) -> None:
    managers = [each["outputs"]["__fieldManager"] for each in life.state.values()]
    assert len(set(managers)) == len(KINDS)


@each_kind
def test_nothing_changes_without_a_change(life: Life, kind: Kind) -> None:
    assert life.same.op(kind.name) == "same"


@each_kind
def test_a_refresh_finds_no_drift_where_there_is_none(life: Life, kind: Kind) -> None:
    assert life.same_after_refresh.op(kind.name) == "same"


@each_kind
def test_an_object_that_exists_is_not_adopted(life: Life, kind: Kind) -> None:
    assert kind.name in life.taken.failed
    assert "already exists" in life.taken.errors(kind.name)


@each_kind
def test_a_patch_adds_to_the_object(life: Life, kind: Kind) -> None:
    before, after = life.created[kind.name], life.patched[kind.name]
    assert before is not None
    assert after is not None
    assert life.patch.op(kind.name) == "create"
    assert after["metadata"]["labels"] == {**before["metadata"]["labels"], "patch": "applied"}
    assert before["metadata"]["uid"] == after["metadata"]["uid"]


@each_kind
def test_a_patch_that_is_deleted_takes_back_what_it_added_and_no_more(life: Life, kind: Kind) -> None:
    before, after = life.created[kind.name], life.unpatched[kind.name]
    assert before is not None
    assert after is not None
    assert life.unpatch.op(kind.name) == "delete"
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert kind.annotations.items() <= (after["metadata"].get("annotations") or {}).items()
    assert before["metadata"]["uid"] == after["metadata"]["uid"]


@each_kind
def test_a_field_of_another_manager_is_a_conflict(life: Life, kind: Kind) -> None:
    assert kind.name in life.conflict.failed
    assert "somebody" in life.conflict.errors(kind.name)
    assert "metadata.labels.mark" in life.conflict.errors(kind.name)
    live = life.contested[kind.name]
    assert live is not None
    assert live["metadata"]["labels"]["mark"] == "theirs"


@each_kind
def test_drift_is_found_by_a_refresh_and_mended(life: Life, kind: Kind) -> None:
    assert life.heal.ops(kind.name)[-2:] == ["refresh", "update"]
    live = life.healed[kind.name]
    assert live is not None
    assert live["metadata"]["labels"]["mark"] == "ours"


@each_kind
def test_an_update_keeps_the_object(life: Life, kind: Kind) -> None:
    before, after = life.created[kind.name], life.updated[kind.name]
    assert before is not None
    assert after is not None
    assert life.update_preview.op(kind.name) == life.update.op(kind.name) == "update"
    assert before["metadata"]["uid"] == after["metadata"]["uid"]
    assert before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"]


@each_kind
def test_an_update_is_put_down_to_what_changed(life: Life, kind: Kind) -> None:
    changed = {path.split(".")[0] for path in kind.update}
    assert {path.split(".")[0].split("[")[0] for path in life.update.diff(kind.name)} == changed


replaced_kinds = [kind for kind in KINDS if kind.replace]


@pytest.mark.parametrize("kind", replaced_kinds, ids=lambda kind: kind.name)
def test_a_preview_says_what_replaces_the_object(life: Life, kind: Kind) -> None:
    assert life.replace_preview.op(kind.name) == "replace"
    assert life.replace_preview.diff(kind.name)[kind.replaced_by].endswith("-replace")


@pytest.mark.parametrize("kind", [k for k in replaced_kinds if k.delete_is_awaited], ids=lambda kind: kind.name)
def test_a_change_that_it_cannot_take_replaces_the_object(life: Life, kind: Kind) -> None:
    before, after = life.updated[kind.name], life.replaced[kind.name]
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    # The name is its own and stays, so the old object must go first.
    ops = life.replace.ops(kind.name)
    assert ops.index("delete-replaced") < ops.index("create-replacement")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.replace], ids=lambda kind: kind.name)
def test_other_kinds_are_left_alone_meanwhile(life: Life, kind: Kind) -> None:
    assert life.replace.op(kind.name) == "same"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.delete_is_awaited], ids=lambda kind: kind.name)
def test_delete_waits_until_the_object_is_gone(life: Life, kind: Kind) -> None:
    assert life.delete.op(kind.name) == "delete"
    assert life.deleted[kind.name] is None


def _set(obj: Object, keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        obj = obj.setdefault(key, {})
    if value is None:
        obj.pop(keys[-1], None)
    else:
        obj[keys[-1]] = value
