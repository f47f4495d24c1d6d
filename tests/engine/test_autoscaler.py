"""While there is a HorizontalPodAutoscaler, `pulumi up` leaves the number of pods to it; afterwards it sets its own.

These tests scale the Deployment by hand, under the field manager's name of the real autoscaler. That the real one
decides by load is shown in test_metrics.py.
"""

import json

from tests.harness.program import Program
from tests.harness.waiting import eventually

# What kube-controller-manager sends when an autoscaler has decided.
_SCALED = ("patch", "deployment", "pacman", "--subresource=scale", "--field-manager=kube-controller-manager")
# The game has no load here, so the real autoscaler would go back to the minimum within seconds.
_KEEP_PODS = {"spec": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}}


def replicas(program: Program) -> int:
    """The Deployment's `spec.replicas`."""
    wanted: int = program.kubectl.live("deployment", "pacman")["spec"]["replicas"]
    return wanted


def scale(program: Program, to: int) -> None:
    """Scales the Deployment as an autoscaler does."""
    program.kubectl(*_SCALED, "--type=merge", "--patch", json.dumps({"spec": {"replicas": to}}))


def test_refresh_sets_back_what_a_person_scaled(program: Program) -> None:
    """As the lesson scales; README says what `up` makes of it."""
    program.use()
    program.up().ok()
    program.kubectl("scale", "deployment", "pacman", "--replicas=3")
    assert "update" in program.preview("--refresh").ok().changes
    program.up("--refresh").ok()
    assert replicas(program) == 1


def test_up_keeps_the_autoscalers_replicas_until_the_autoscaler_is_removed(program: Program) -> None:
    program.use(pacmanReplicas=2)
    program.up().ok()
    program.use(pacmanReplicas=2, pacmanMaxReplicas=6)
    created = program.up().ok()
    assert created.changes["create"] == 1, "the autoscaler"
    assert "replace" not in created.changes
    scaler = program.kubectl.live("hpa", "pacman")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert replicas(program) == 2, "it began with another number"

    program.kubectl("patch", "hpa", "pacman", "--type=merge", "--patch", json.dumps(_KEEP_PODS))
    scale(program, 4)
    # A refresh that finds a Deployment in the middle of scaling marks it as not ready, and `up` then waits for it.
    eventually("4 pods serve", lambda: program.ready_pods("pacman") == 4, 60)
    # None of the next three changes is about the number of pods.
    refreshed = program.up("--refresh").ok()
    assert [step for step in refreshed.steps if step.op not in ("refresh", "same")] == []
    assert replicas(program) == 4
    program.use(pacmanReplicas=2, pacmanMaxReplicas=6, pacmanLocation=False)
    program.up().ok()
    assert replicas(program) == 4
    program.use(pacmanReplicas=3, pacmanMaxReplicas=8, pacmanLocation=False)
    program.up().ok()
    assert replicas(program) == 4

    # The engine deletes the autoscaler last, so that may scale once more after the Deployment was changed.
    program.use(pacmanReplicas=3, pacmanLocation=False)
    program.up().ok()
    assert program.kubectl.get("hpa", "pacman") is None
    program.up("--refresh").ok()
    assert replicas(program) == 3, "it was 4, and nobody but this stack has a say in it now"
