"""Patches of somebody else's object: what they take, what they leave, what they give back."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.conftest import Kubectl, Stack


@pytest.fixture
def theirs(kubectl: Kubectl) -> Iterator[str]:
    """A StorageClass that `somebody` manages; it is no default. There is another, whose name ends in -too."""
    name = f"conformance-{secrets.token_hex(4)}"
    names = [name, f"{name}-too"]
    for each in names:
        obj: dict[str, Any] = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": each, "annotations": {"conformance/mark": "theirs"}},
            "provisioner": "conformance.invalid/none",
        }
        kubectl.apply(obj, "somebody")
    yield name
    kubectl("delete", "storageclass", *names, "--ignore-not-found")


_PATCH = """
k8s.storage.v1.StorageClassPatch("patch", opts=on, metadata={{"name": "{name}", "annotations": {annotations}}})
"""


def test_a_patch_adds_to_an_object_and_takes_it_back(stack: Stack, kubectl: Kubectl, theirs: str) -> None:
    with stack(_PATCH.format(name=theirs, annotations='{"conformance/ours": "one"}')) as engine:
        # A preview of a patch does not ask the server, so a patch of what exists shows as a creation.
        assert engine.preview().ok().op("patch") == "create"
        assert _marks(kubectl, theirs) == {"conformance/mark": "theirs"}
        engine.up().ok()
        assert _marks(kubectl, theirs) == {"conformance/mark": "theirs", "conformance/ours": "one"}
        state = engine.resources()["patch"]
        assert state["id"] == theirs
        assert state["outputs"]["provisioner"] == "conformance.invalid/none", "the outputs are the whole object"
        managers = {each["manager"] for each in kubectl.live("storageclass", theirs)["metadata"]["managedFields"]}
        assert managers == {"somebody", state["outputs"]["__fieldManager"]}
        assert engine.up("--refresh", "--expect-no-changes").exit_code == 0

        engine.edit('"one"', '"two"')
        assert engine.up().ok().op("patch") == "update"
        assert _marks(kubectl, theirs)["conformance/ours"] == "two"

        engine.destroy().ok()
        assert _marks(kubectl, theirs) == {"conformance/mark": "theirs"}


def test_a_patch_of_a_field_with_an_owner_is_a_conflict_unless_forced(
    stack: Stack, kubectl: Kubectl, theirs: str
) -> None:
    with stack(_PATCH.format(name=theirs, annotations='{"conformance/mark": "ours"}')) as engine:
        failed = engine.up()
        assert failed.exit_code != 0
        assert "somebody" in failed.errors()
        assert "conformance/mark" in failed.errors()
        assert _marks(kubectl, theirs) == {"conformance/mark": "theirs"}

        forced = '{"conformance/mark": "ours", "pulumi.com/patchForce": "true"}'
        engine.edit('{"conformance/mark": "ours"}', forced)
        engine.up().ok()
        assert _marks(kubectl, theirs)["conformance/mark"] == "ours"
        assert engine.up("--expect-no-changes").exit_code == 0

        # What was taken is not given back: it goes with the patch.
        engine.destroy().ok()
        assert "conformance/mark" not in _marks(kubectl, theirs)
    assert kubectl.get("storageclass", theirs) is not None


def test_a_provider_can_force_all_patches_and_a_patch_can_name_its_field_manager(
    stack: Stack, kubectl: Kubectl, theirs: str
) -> None:
    program = f"""
k8s.storage.v1.StorageClassPatch("forced", opts=provider_with("forcing", enable_patch_force=True),
    metadata={{"name": "{theirs}", "annotations": {{"conformance/mark": "ours"}}}})
manager = {{"conformance/ours": "one", "pulumi.com/patchFieldManager": "conformance-manager"}}
k8s.storage.v1.StorageClassPatch("managed", opts=on, metadata={{"name": "{theirs}-too", "annotations": manager}})
"""
    with stack(program) as engine:
        engine.up().ok()
        assert _marks(kubectl, theirs) == {"conformance/mark": "ours"}
        live = kubectl.live("storageclass", f"{theirs}-too")
        assert {each["manager"] for each in live["metadata"]["managedFields"]} == {"somebody", "conformance-manager"}


def test_a_patch_of_nothing_is_an_error_that_names_it(stack: Stack) -> None:
    with stack(_PATCH.format(name="conformance-nothing", annotations='{"conformance/ours": "one"}')) as engine:
        failed = engine.up()
        assert failed.exit_code != 0
        assert "conformance-nothing" in failed.errors()
        assert "patch" not in engine.resources()


def _marks(kubectl: Kubectl, name: str) -> dict[str, str]:
    annotations = kubectl.live("storageclass", name)["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if not key.startswith("pulumi.com/")}
