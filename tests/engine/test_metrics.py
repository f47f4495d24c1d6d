"""The cluster measures what pods use, and the stack's autoscaler decides by it."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.harness.game import Load
from tests.harness.program import Program
from tests.harness.waiting import eventually


def test_kubectl_top_shows_what_pods_and_nodes_use(program: Program) -> None:
    eventually("the pods are measured", lambda: "pacman-" in program.kubectl("top", "pods", check=False), 60)
    pods = {line.split()[0]: line.split()[1:] for line in program.kubectl("top", "pods", "--no-headers").splitlines()}
    cpu, memory = pods["mongo-0"]
    assert cpu.endswith("m")
    assert 50 < int(memory.removesuffix("Mi")) < 1000
    assert "minikube" in program.kubectl("top", "nodes")


_LIMIT = "nginx.ingress.kubernetes.io/limit-rps"


@pytest.fixture
def scaled(program: Program) -> Iterator[Program]:
    """The stack with an autoscaler from one pod to four, for players behind one address who may ask without a limit.

    By default, Kubernetes lets five minutes pass before an autoscaler removes pods; here it is 15 s. Only the waiting
    is shorter: what is measured, and what is decided by it, is the same.
    """
    program.use(pacmanReplicas=1, pacmanMaxReplicas=4)
    program.up().ok()
    behavior = {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}}}}
    program.kubectl("patch", "hpa", "pacman", "--type=merge", "--patch", json.dumps(behavior))
    limit = program.kubectl.live("ingress", "pacman")["metadata"]["annotations"][_LIMIT]
    program.kubectl("annotate", "--overwrite", "ingress", "pacman", f"{_LIMIT}=0")
    yield program
    program.kubectl("annotate", "--overwrite", "ingress", "pacman", f"{_LIMIT}={limit}")
    program.use()
    program.up("--refresh").ok()


def test_load_adds_pods_and_no_load_removes_them(scaled: Program) -> None:
    eventually("one pod is left of earlier tests", lambda: len(scaled.pods("pacman", leaving=True)) == 1, 60)
    with Load(scaled.game, f"scale-{secrets.token_hex(4)}", threads=16, rate=400, seconds=240):
        eventually("more pods serve", lambda: scaled.ready_pods("pacman") > 1, 180)
    eventually("one pod is left", lambda: len(scaled.pods("pacman", leaving=True)) == 1, 180)
