"""What keeps the data of a running stack: refusals, protection, larger volumes, and a new set only when all is lost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.kubectl import Kubectl
from tests.harness.program import CONTEXT, Program
from tests.harness.waiting import eventually
from tools.own_stack import VOLUME_CLASS


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """A stack with one member and a score."""
    with Program() as made:
        made.up().ok()
        assert made.game.save("kept", 1)
        yield made


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"mongoStorageClass": "standard"}, 'pacman:mongoStorageClass is "standard": must stay csi-hostpath-sc'),
        ({"mongoVolumeSize": "1Gi"}, 'pacman:mongoVolumeSize is "1Gi": must be 2Gi or more: no volume shrinks'),
        (
            {"mongoImage": "mongo:8.0.32"},
            'pacman:mongoImage is "mongo:8.0.32": must be at most one major version after',
        ),
        ({"mongoFeatureCompatibility": "7.0"}, 'pacman:mongoFeatureCompatibility is "7.0": must stay 6.0 until'),
        ({"passwordRotation": 2}, 'pacman:passwordRotation is "2": must be 0, or 1 to change the passwords'),
    ],
    ids=["class", "smaller", "skipped version", "compatibility", "rotation"],
)
def test_a_change_that_the_data_would_not_survive_is_refused_from_the_state(
    program: Program, change: dict[str, object], refusal: str
) -> None:
    with program.using(**change):
        refused = program.preview()
    assert refused.exit_code != 0
    assert refusal in refused.errors()


def test_the_data_of_a_protected_stack_cannot_be_deleted_and_its_volumes_are_retained(program: Program) -> None:
    policy = (
        "jsonpath={.items[?(@.spec.claimRef.namespace=='"
        + program.namespace
        + "')].spec.persistentVolumeReclaimPolicy}"
    )
    with program.using(deletionProtection="enabled"):
        program.up().ok()
        assert program.kubectl("get", "pv", "--output", policy) == "Retain"
        refused = program.destroy()
        assert refused.exit_code != 0
        assert "protect" in refused.errors()
    assert program.game.save("still-there", 2)
    program.use()
    program.up().ok()
    # The test's own volumes must not stay.
    volume = program.kubectl("get", "pvc", "data-mongo-0", "--output", "jsonpath={.spec.volumeName}")
    program.kubectl("patch", "pv", volume, "--patch", '{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}')


@contextmanager
def expandable(kubectl: Kubectl, name: str) -> Iterator[None]:
    """The class lets its claims grow, as those of clouds do; nobody grows the volumes here."""
    kubectl("patch", "storageclass", name, "--patch", '{"allowVolumeExpansion":true}')
    try:
        yield
    finally:
        kubectl("patch", "storageclass", name, "--patch", '{"allowVolumeExpansion":null}')


def asked(program: Program) -> str:
    """The size that the claim of the first member asks for."""
    return program.kubectl("get", "pvc", "data-mongo-0", "--output", "jsonpath={.spec.resources.requests.storage}")


def test_a_larger_volume_is_asked_for_where_the_class_allows_it(program: Program) -> None:
    with program.using(mongoVolumeSize="3Gi"):
        refused = program.up()
        assert refused.exit_code != 0
        assert 'pacman:mongoVolumeSize is "3Gi": cannot grow the volumes: ' in refused.errors()
        assert "must support resize" in refused.errors()
        assert asked(program) == "2Gi"
        with expandable(Kubectl(CONTEXT, program.namespace), VOLUME_CLASS):
            grown = program.up().ok()
        assert asked(program) == "3Gi"
        assert grown.op("mongo") in ("", "same"), "the StatefulSet stays"
        program.up("--expect-no-changes").ok()


def test_if_the_only_member_loses_its_volume_an_up_warns_and_creates_an_empty_database(program: Program) -> None:
    with (
        program.using(mongoVolumeSize="3Gi"),
        expandable(Kubectl(CONTEXT, program.namespace), VOLUME_CLASS),
    ):
        program.up().ok()
        assert program.game.save("lost", 3)
        program.kubectl("delete", "pvc", "data-mongo-0", "--wait=false")
        program.kubectl("delete", "pod", "mongo-0", "--wait=false")
        eventually("the claim is another one", lambda: claim_is_new(program), 90)
        told = program.preview()
        assert "the volumes of the database in namespace" in told.warnings()
        assert asked(program) == "2Gi", "as the StatefulSet was first deployed"
        program.up().ok()
        assert asked(program) == "3Gi"
        eventually("a score can be saved", lambda: program.game.save("after", 4), 60)
        assert program.scores() >= {"after"}
        assert "lost" not in program.scores()
        assert "the volumes of the database" not in program.up("--expect-no-changes").ok().warnings()


def claim_is_new(program: Program) -> bool:
    """Whether the claim of mongo-0 is there and not on its way out, and the pod runs on it."""
    claim = program.kubectl.get("pvc", "data-mongo-0")
    pod = program.kubectl.get("pod", "mongo-0")
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or []
    runs = any(each.get("started") for each in statuses)
    return bool(claim) and "deletionTimestamp" not in json.dumps(claim) and bool(runs)
