"""What changed, and what a change costs."""

import pytest

from sandbox.plugins.kubernetes.diff import Change, changes, force_new, prune, render, replaces, value_at
from sandbox.plugins.kubernetes.values import UNKNOWN, Object


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": Change.UPDATE}),
        ({"a": 1}, {}, {"a": Change.DELETE}),
        ({}, {"a": {"b": 1}}, {"a": Change.ADD}),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, {"a[1]": Change.UPDATE, "a[2]": Change.ADD}),
        ({"a": [{"b": 1}]}, {"a": []}, {"a[0]": Change.DELETE}),
        ({"a": True}, {"a": 1}, {"a": Change.UPDATE}),
        ({"a": 1}, {"a": UNKNOWN}, {"a": Change.UPDATE}),
        ({"metadata": {"labels": {"x/y.z": "1"}}}, {"metadata": {}}, {"metadata.labels": Change.DELETE}),
    ],
)
def test_changes(old: Object, new: Object, found: dict[str, Change]) -> None:
    assert {render(path): change for path, change in changes(old, new).items()} == found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "1000m", True),
        ("0.5", "500m", True),
        ("1024Mi", "1Gi", True),
        ("1G", "1Gi", False),
        (1, "1", True),
        ("1e3", "1k", True),
        ("100m", "100M", False),
        ("much", "more", False),
    ],
)
def test_quantities_are_compared_by_value(one: object, other: object, same: bool) -> None:
    def resources(value: object) -> Object:
        return {"resources": {"limits": {"cpu": value}}}

    assert (changes(resources(one), resources(other)) == {}) is same
    assert changes({"data": {"cpu": "1"}}, {"data": {"cpu": "1000m"}}), "elsewhere a text is a text"


def test_paths_with_dots_and_quotes_are_quoted() -> None:
    assert render(("metadata", "labels", "app.kubernetes.io/name")) == 'metadata.labels["app.kubernetes.io/name"]'
    assert render(("spec", "ports", 0, "name")) == "spec.ports[0].name"
    assert render(('a"b.c',)) == '["a\\"b.c"]'


@pytest.mark.parametrize(
    ("api_version", "kind", "path", "value", "forced"),
    [
        ("apps/v1", "StatefulSet", ("spec", "serviceName"), "x", True),
        ("apps/v1", "StatefulSet", ("spec", "volumeClaimTemplates", 0, "spec"), {}, True),
        ("apps/v1", "StatefulSet", ("spec", "replicas"), 3, False),
        ("apps/v1", "Deployment", ("spec", "selector", "matchLabels", "a"), "b", True),
        ("apps/v1", "Deployment", ("spec",), {"replicas": 1}, False),
        ("apps/v1", "Deployment", ("spec",), {"selector": {}}, True),
        ("batch/v1", "Job", ("spec", "template", "spec", "containers", 0, "image"), "x", True),
        ("batch/v1", "Job", ("spec", "ttlSecondsAfterFinished"), 1, False),
        ("v1", "Pod", ("spec", "containers", 1, "image"), "x", True),
        ("v1", "Pod", ("spec", "containers", 1), {"name": "x"}, False),
        ("v1", "Pod", ("spec", "containers"), [{"image": "x"}], True),
        ("v1", "ConfigMap", ("metadata", "name"), "x", True),
        ("v1", "ConfigMap", ("metadata", "labels"), {}, False),
        ("v1", "ConfigMap", ("data", "key"), "x", True),
        ("storage.k8s.io/v1", "StorageClass", ("allowVolumeExpansion",), True, False),
        ("storage.k8s.io/v1", "StorageClass", ("parameters", "type"), "x", True),
        ("example.com/v1", "Job", ("spec", "template"), {}, False),
    ],
)
def test_what_replaces_an_object(
    api_version: str, kind: str, path: tuple[str | int, ...], value: object, forced: bool
) -> None:
    rules = force_new({"apiVersion": api_version, "kind": kind}, patch=False)
    assert replaces(path, value, rules) is forced


def test_a_patch_is_replaced_only_with_its_target() -> None:
    rules = force_new({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}, patch=True)
    assert not replaces(("parameters", "type"), "x", rules)
    assert replaces(("metadata", "name"), "x", rules)


def test_mutable_kinds_are_updated_in_place_unless_they_are_immutable() -> None:
    config_map: Object = {"apiVersion": "v1", "kind": "ConfigMap"}
    mutable = force_new(config_map, patch=False, mutable=["ConfigMap"])
    fixed = force_new({**config_map, "immutable": True}, patch=False, mutable=["ConfigMap"])
    assert not replaces(("data", "key"), "x", mutable)
    assert replaces(("data", "key"), "x", fixed)


def test_values_at_a_path() -> None:
    obj: Object = {"spec": {"ports": [{"name": "a"}]}}
    assert value_at(obj, ("spec", "ports", 0, "name")) == "a"
    assert value_at(obj, ("spec", "ports", 1, "name")) is None
    assert value_at(obj, ("spec", "nothing", "name")) is None


def test_pruning_shows_drift_and_nothing_else() -> None:
    inputs: Object = {
        "metadata": {"name": "x", "labels": {"mine": "1", "gone": "1"}},
        "spec": {
            "replicas": 1,
            "empty": {},
            "containers": [
                {"name": "b", "image": "b:1", "resources": {"limits": {"cpu": "0.5"}}},
                {"name": "removed", "image": "r:1"},
            ],
        },
    }
    live: Object = {
        "metadata": {"name": "x", "uid": "u", "labels": {"mine": "1", "theirs": "2"}},
        "spec": {
            "replicas": 4,
            "defaulted": True,
            "containers": [
                {"name": "injected", "image": "i:1"},
                {"name": "b", "image": "b:2", "tty": False, "resources": {"limits": {"cpu": "500m"}}},
            ],
        },
        "status": {"ready": True},
    }
    assert prune(live, inputs) == {
        "metadata": {"name": "x", "labels": {"mine": "1"}},
        "spec": {
            "replicas": 4,
            "empty": {},
            "containers": [{"name": "b", "image": "b:2", "resources": {"limits": {"cpu": "0.5"}}}],
        },
    }
