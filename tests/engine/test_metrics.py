"""The cluster measures what pods use, and the stack's autoscaler decides by it."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.harness.game import Load
from tests.harness.program import Program
from tests.harness.waiting import eventually

pytestmark = pytest.mark.alone


def test_kubectl_top_shows_what_pods_and_nodes_use(program: Program) -> None:
    eventually("the pods are measured", lambda: "mongo-0" in program.kubectl("top", "pods", check=False), 60)
    pods = {line.split()[0]: line.split()[1:] for line in program.kubectl("top", "pods", "--no-headers").splitlines()}
    cpu, memory = pods["mongo-0"]
    assert cpu.endswith("m")
    assert 50 < int(memory.removesuffix("Mi")) < 1000
    assert "minikube" in program.kubectl("top", "nodes")


_LIMIT = "nginx.ingress.kubernetes.io/limit-rps"


@pytest.fixture
def scaled(program: Program) -> Iterator[Program]:
    """The stack with an autoscaler from one pod to four, for players behind one address who may ask without a limit.

    Two of its figures are changed, in the cluster only, so that a test can reach them: it wants 50 milli-CPUs in a pod,
    not 200, because the same two cores also have to make the load; and it waits 15 s before it removes pods, not five
    minutes. What is measured, and how it decides, is the same.
    """
    program.use(pacmanReplicas=1, pacmanMaxReplicas=4)
    program.up().ok()
    changes = [
        {"op": "add", "path": "/spec/behavior", "value": {"scaleDown": {"stabilizationWindowSeconds": 15}}},
        {"op": "replace", "path": "/spec/metrics/0/resource/target/averageValue", "value": "50m"},
    ]
    program.kubectl("patch", "hpa", "pacman", "--type=json", "--patch", json.dumps(changes))
    limit = program.kubectl.live("ingress", "pacman")["metadata"]["annotations"][_LIMIT]
    program.kubectl("annotate", "--overwrite", "ingress", "pacman", f"{_LIMIT}=0")
    yield program
    program.kubectl("annotate", "--overwrite", "ingress", "pacman", f"{_LIMIT}={limit}")
    program.use()
    program.up("--refresh").ok()


def test_load_adds_pods_and_no_load_removes_them(scaled: Program) -> None:
    eventually("one pod is left of earlier tests", lambda: len(scaled.pods("pacman", leaving=True)) == 1, 60)
    with Load(scaled.game, f"scale-{secrets.token_hex(4)}", rate=300, seconds=240):
        eventually("more pods serve", lambda: scaled.ready_pods("pacman") > 1, 180)
    eventually("one pod is left", lambda: len(scaled.pods("pacman", leaving=True)) == 1, 180)
