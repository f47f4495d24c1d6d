"""What somebody changes in the cluster by hand: a preview with --refresh shows it, and `up --refresh` corrects it.

All changes are made to one stack at once, and one preview and one `up` meet all of them, because each takes a while.
Each is a change of what the program declares. What somebody adds beside that, the provider does not compare: one more
verb of a role, one more label of a selector.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.engine.conftest import FirstUp
from tests.harness.kubectl import Kubectl
from tests.harness.program import Program
from tools.engine import Result

FOREIGN = "set-by-hand"
HIDDEN = base64.b64encode(b"a password that somebody set by hand").decode()


@dataclass(frozen=True)
class Change:
    """A change of one field of an object."""

    kind: str
    name: str
    """The object's name, with {namespace} for that of the stack."""
    field: tuple[str | int, ...]
    make: Callable[[Kubectl, str], object]
    """Makes it, given the name."""

    @property
    def id(self) -> str:
        """How pytest lists it."""
        return f"{self.kind}-{self.name}-{self.field[-1]}"


def patch(kind: str, name: str, *field: str | int, value: object) -> Change:
    """A change by `kubectl patch`."""
    pointer = "/".join(["", *(str(step).replace("/", "~1") for step in field)])
    body = json.dumps([{"op": "replace", "path": pointer, "value": value}])
    return Change(kind, name, field, lambda kubectl, name: kubectl("patch", kind, name, "--type=json", "-p", body))


def edit(kind: str, name: str, *field: str | int, old: str, new: str) -> Change:
    """A change by `kubectl edit`."""
    return Change(kind, name, field, lambda kubectl, name: kubectl.edit(kind, name, old, new))


def scale(kind: str, name: str, replicas: int) -> Change:
    """A change by `kubectl scale`."""
    return Change(
        kind, name, ("spec", "replicas"), lambda kubectl, name: kubectl("scale", kind, name, f"--replicas={replicas}")
    )


CHANGES = [
    scale("Deployment", "pacman", 2),
    scale("StatefulSet", "mongo", 2),
    edit(
        "StatefulSet", "mongo", "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled", old="Retain", new="Delete"
    ),
    patch("Service", "pacman", "spec", "ports", 0, "targetPort", value=8081),
    edit("Service", "mongo", "spec", "publishNotReadyAddresses", old="Addresses: true", new="Addresses: false"),
    edit("Ingress", "pacman", "spec", "rules", 0, "host", old="host: .*", new=f"host: {FOREIGN}.example"),
    patch("NetworkPolicy", "default-deny", "spec", "policyTypes", 0, value="Egress"),
    edit("NetworkPolicy", "mongo", "spec", "ingress", 0, "ports", 0, "port", old="port: 27017", new="port: 1"),
    patch("PodDisruptionBudget", "pacman", "spec", "maxUnavailable", value=0),
    patch("ServiceAccount", "pacman", "automountServiceAccountToken", value=True),
    patch("ConfigMap", "mongo-init", "data", "init.js", value=FOREIGN),
    patch("Secret", "mongo-app", "data", "password", value=HIDDEN),
    patch("Secret", "mongo-root", "data", "keyfile", value=HIDDEN),
    patch("Namespace", "{namespace}", "metadata", "labels", "pod-security.kubernetes.io/enforce", value="privileged"),
    patch("ClusterRole", "{namespace}:pacman-node-reader", "rules", 0, "verbs", 0, value="delete"),
]
DELETED = [
    ("PodDisruptionBudget", "mongo"),
    ("NetworkPolicy", "pacman"),
    ("ClusterRoleBinding", "{namespace}:pacman-node-reader"),
]


@dataclass(frozen=True)
class Drift:
    """The stack before and after, and what the commands did."""

    program: Program
    before: Mapping[str, Any]
    """What each changed field was, by the id of the change."""
    preview: Result
    up: Result
    shown: Mapping[str, set[str]]
    """What the preview would do to each object that it would not leave alone, by `Kind name`."""
    done: Mapping[str, set[str]]
    """What the `up` did."""
    passwords: tuple[str, ...]


def fields(program: Program) -> dict[str, Any]:
    """What each changed field is now, by the id of the change."""

    def read(change: Change) -> Any:  # noqa: ANN401 - any JSON
        value: Any = program.kubectl.live(change.kind, change.name.format(namespace=program.namespace))
        for step in change.field:
            value = value.get(step) if isinstance(value, dict) else value[step]
        return value

    return {change.id: read(change) for change in CHANGES}


@pytest.fixture(scope="module")
def drift(first_up: FirstUp) -> Drift:
    program = first_up.program
    program.use()
    program.up("--refresh").ok()
    before = fields(program)
    password = program.secret("mongo-app")["password"]
    for change in CHANGES:
        change.make(program.kubectl, change.name.format(namespace=program.namespace))
    changed = fields(program)
    assert [name for name, value in changed.items() if value == before[name]] == [], "every change was made"
    for kind, name in DELETED:
        program.kubectl("delete", kind, name.format(namespace=program.namespace))

    objects = {
        each["urn"]: f"{each['type'].rpartition(':')[2]} {each['id'].rpartition('/')[2]}"
        for each in program.state()["deployment"]["resources"]
        if each["type"].startswith("kubernetes:")
    }

    def steps(result: Result) -> dict[str, set[str]]:
        touched = [step for step in result.steps if step.urn in objects and step.op not in ("same", "refresh")]
        return {objects[step.urn]: {each.op for each in touched if each.urn == step.urn} for step in touched}

    preview = program.preview("--refresh", "--diff").ok()
    up = program.up("--refresh", "--diff").ok()
    known = (password, base64.b64encode(password.encode()).decode(), HIDDEN, base64.b64decode(HIDDEN).decode())
    return Drift(program, before, preview, up, steps(preview), steps(up), known)


def key(drift: Drift, kind: str, name: str) -> str:
    """How the steps name an object."""
    return f"{kind} {name.format(namespace=drift.program.namespace)}"


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.id)
def test_a_preview_with_refresh_shows_what_somebody_changed(drift: Drift, change: Change) -> None:
    assert drift.shown[key(drift, change.kind, change.name)] == {"update"}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.id)
def test_up_with_refresh_corrects_what_somebody_changed(drift: Drift, change: Change) -> None:
    assert drift.done[key(drift, change.kind, change.name)] == {"update"}
    assert fields(drift.program)[change.id] == drift.before[change.id]


@pytest.mark.parametrize(("kind", "name"), DELETED)
def test_up_with_refresh_brings_back_what_somebody_deleted(drift: Drift, kind: str, name: str) -> None:
    assert drift.shown[key(drift, kind, name)] == drift.done[key(drift, kind, name)] == {"create"}
    drift.program.kubectl.live(kind, name.format(namespace=drift.program.namespace))


def test_nothing_else_is_touched_and_nothing_is_left_to_correct(drift: Drift) -> None:
    expected = {key(drift, kind, name) for kind, name in [*((c.kind, c.name) for c in CHANGES), *DELETED]}
    assert drift.shown.keys() == drift.done.keys() == expected
    assert set(drift.program.preview("--refresh").ok().changes) == {"same"}


def test_the_game_plays_on_after_the_correction(drift: Drift) -> None:
    assert drift.program.game.save("after-drift", 1)
    assert "after-drift" in drift.program.scores()


def test_no_password_is_printed_where_somebody_changed_a_secret(drift: Drift) -> None:
    for result in (drift.preview, drift.up):
        assert [password[:3] + "…" for password in drift.passwords if password in result.printed] == []
