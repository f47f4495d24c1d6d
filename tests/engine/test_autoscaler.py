"""An autoscaler has `replicas` to itself, and gives it back.

The sandbox has no metrics, so its autoscaler decides nothing. What one does is done here by hand, as the same field
manager does it; that one would decide so, this cannot prove.
"""

import json

from tests.harness.program import Program
from tests.harness.waiting import eventually

# Under which kube-controller-manager writes what an autoscaler decides, and how.
_SCALED = ("patch", "deployment", "pacman", "--subresource=scale", "--field-manager=kube-controller-manager")


def replicas(program: Program) -> int:
    """What the Deployment asks for."""
    wanted: int = program.kubectl.live("deployment", "pacman")["spec"]["replicas"]
    return wanted


def scale(program: Program, to: int) -> None:
    """Does what an autoscaler does."""
    program.kubectl(*_SCALED, "--type=merge", "--patch", json.dumps({"spec": {"replicas": to}}))


def test_what_a_person_scaled_is_set_back_by_the_next_refresh(program: Program) -> None:
    """As the lesson scales; README says what `up` makes of it."""
    program.use()
    program.up().ok()
    program.kubectl("scale", "deployment", "pacman", "--replicas=3")
    assert "update" in program.preview("--refresh").ok().changes
    program.up("--refresh").ok()
    assert replicas(program) == 1


def test_what_it_decided_stays_through_every_up_and_is_set_back_once_it_is_gone(program: Program) -> None:
    program.use(pacmanReplicas=2)
    program.up().ok()
    program.use(pacmanReplicas=2, pacmanMaxReplicas=6)
    created = program.up().ok()
    assert created.changes["create"] == 1, "the autoscaler"
    assert "replace" not in created.changes
    scaler = program.kubectl.live("hpa", "pacman")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert replicas(program) == 2, "it began with another number"

    scale(program, 4)
    # No change, a change of the pods, a change of the autoscaler: none of them is about how many there are.
    refreshed = program.up("--refresh").ok()
    assert [step for step in refreshed.steps if step.op not in ("refresh", "same")] == []
    assert replicas(program) == 4
    program.use(pacmanReplicas=2, pacmanMaxReplicas=6, pacmanLocation=False)
    program.up().ok()
    assert replicas(program) == 4
    program.use(pacmanReplicas=3, pacmanMaxReplicas=8, pacmanLocation=False)
    program.up().ok()
    assert replicas(program) == 4
    eventually("4 pods serve", lambda: program.ready_pods("pacman") == 4, 60)

    program.use(pacmanReplicas=3, pacmanLocation=False)
    program.up("--refresh").ok()
    assert program.kubectl.get("hpa", "pacman") is None
    assert replicas(program) == 3, "it was 4, and nobody but this stack has a say in it now"
