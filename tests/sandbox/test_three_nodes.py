"""Three nodes in three zones: a database with a member on each, a node that is drained, nodes that are lost.

The cluster has as many nodes as before at the end, whatever happens.
"""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sandbox.node import ALL
from sandbox.places import CHECKOUT, STATE
from tests.harness.game import Load
from tests.harness.kubectl import Kubectl
from tests.harness.program import Program
from tests.harness.waiting import eventually

_NAMES = [each.name for each in ALL]
_ZONE = "topology.kubernetes.io/zone"
# Kubernetes counts a node as lost when it has been silent for 40 s. Until then its pods get requests.
_LOST_SECONDS = 90


def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the sandbox."""
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kubectl]:
    """The sandbox's cluster, with three nodes."""
    before = (STATE / "nodes").read_text()
    try:
        done = sandbox("up", "--nodes", "3")
        assert done.returncode == 0, done.stderr
        yield Kubectl("sandbox", "default")
    finally:
        done = sandbox("up", "--nodes", before)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def program(cluster: Kubectl) -> Iterator[Program]:
    """A stack with a member of the database on each node, and three Pacmans."""
    with Program({"mongoMembers": 3, "mongoSpread": "require", "pacmanReplicas": 3}) as made:
        made.up().ok()
        yield made


def members(program: Program) -> dict[str, str]:
    """The state of each member, as the first one that answers sees it; nothing while none does."""
    script = "print(JSON.stringify(rs.status().members.map(m => [m.name.split('.')[0], m.stateStr])))"
    for number in range(3):
        try:
            return dict(program.mongosh(script, as_root=True, member=f"mongo-{number}"))
        except (AssertionError, ValueError, subprocess.TimeoutExpired):
            continue
    return {}


def settled(program: Program) -> bool:
    """Whether there is a primary and two secondaries."""
    return sorted(members(program).values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]


def node_of(program: Program, pod: str) -> str:
    """The node that a pod runs on."""
    name: str = program.kubectl.live("pod", pod)["spec"]["nodeName"]
    return name


def have_all(program: Program, scores: set[str]) -> bool:
    """Whether every member, asked by itself, has all of some scores."""
    return all(scores <= set(program.mongosh(_SCORES, member=f"mongo-{number}")) for number in range(3))


_SCORES = "db.getMongo().setReadPref('secondaryPreferred'); print(JSON.stringify(db.highscore.distinct('name')))"


def saves(program: Program, name: str) -> bool:
    """Whether a score can be saved; no answer means no."""
    try:
        return program.game.save(name, 1)
    except OSError:
        return False


@contextmanager
def stopped(node: str) -> Iterator[None]:
    """A node without power, for as long as that."""
    assert sandbox("node", "stop", node).returncode == 0
    try:
        yield
    finally:
        done = sandbox("node", "start", node)
        assert done.returncode == 0, done.stderr


def test_nodes_and_zones_are_named_as_minikube_names_them(cluster: Kubectl) -> None:
    nodes: list[dict[str, Any]] = json.loads(cluster("get", "nodes", "--output", "json"))["items"]
    assert [each["metadata"]["name"] for each in nodes] == _NAMES
    addresses = [each["status"]["addresses"][0]["address"] for each in nodes]
    assert addresses == ["192.168.49.2", "192.168.49.3", "192.168.49.4"]
    assert len({each["metadata"]["labels"][_ZONE] for each in nodes}) == 3


def test_each_member_and_its_volume_are_on_a_node_of_their_own(program: Program) -> None:
    assert sorted(node_of(program, f"mongo-{number}") for number in range(3)) == _NAMES
    claims = [program.kubectl.live("pvc", f"data-mongo-{number}") for number in range(3)]
    volumes = [program.kubectl.live("pv", claim["spec"]["volumeName"]) for claim in claims]
    hosts = [each["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"] for each in volumes]
    assert sorted(host[0]["values"][0] for host in hosts) == _NAMES
    assert settled(program)


def test_the_game_shows_the_zone_of_its_pod(program: Program, cluster: Kubectl) -> None:
    assert sorted(node_of(program, pod["metadata"]["name"]) for pod in program.pods("pacman")) == _NAMES
    zones = {each.name: cluster.live("node", each.name)["metadata"]["labels"][_ZONE] for each in ALL}
    for pod in program.pods("pacman"):
        ask = "fetch('http://127.0.0.1:8080/location/metadata').then(r => r.text()).then(console.log)"
        text = program.kubectl("exec", pod["metadata"]["name"], "-c", "pacman", "--", "node", "-e", ask)
        assert json.loads(text)["zone"] == zones[pod["spec"]["nodeName"]]


def test_a_node_is_drained_under_load_without_a_failed_request_or_a_lost_score(
    program: Program, cluster: Kubectl
) -> None:
    secondaries = [node_of(program, name) for name, state in members(program).items() if state == "SECONDARY"]
    node = next(each for each in secondaries if each != _NAMES[0])  # which has the cluster's only CoreDNS
    with Load(program.game, f"drain-{secrets.token_hex(4)}", seconds=240) as load:
        try:
            cluster("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=100s")
            assert node not in {pod["spec"].get("nodeName") for pod in program.pods("pacman")}
        finally:
            cluster("uncordon", node)
        eventually("the member is back", lambda: settled(program), 60)
    assert not load.failed, f"{len(load.failed)} of {load.answered}: {load.failed[:5]}"
    assert load.ran_to_the_end
    assert len(load.saved) > 100
    eventually("every member has every score", lambda: have_all(program, load.saved))


@pytest.mark.parametrize("role", ["SECONDARY", "PRIMARY"])
def test_a_lost_node_costs_no_score(program: Program, cluster: Kubectl, role: str) -> None:
    """The first node runs the control plane and the Ingress, so it is one of the others that is lost."""
    if role == "PRIMARY":
        _move_the_primary_off_the_first_node(program)
    candidates = [name for name, state in members(program).items() if state == role]
    node = next(each for each in (node_of(program, name) for name in candidates) if each != _NAMES[0])
    prefix = f"lost-{role.lower()}-{secrets.token_hex(4)}"
    with Load(program.game, prefix, threads=4, rate=20, seconds=240) as load:
        eventually("scores are saved", lambda: len(load.saved) > 10)
        with stopped(node):
            eventually(
                "the node counts as lost",
                lambda: "NotReady" in cluster("get", "node", node, "--no-headers"),
                _LOST_SECONDS,
            )
            before = len(load.saved)
            eventually("scores are saved without it", lambda: len(load.saved) > before + 20, 60)
    assert load.saved
    eventually("the member is back", lambda: settled(program), 90)
    eventually("every member has every score", lambda: have_all(program, load.saved))
    eventually("every pod is back", lambda: program.ready_pods("pacman") == 3, 120)


def test_a_node_with_a_volume_in_use_is_not_removed(program: Program) -> None:
    refused = sandbox("up", "--nodes", "1")
    assert refused.returncode == 1
    assert refused.stderr.strip().splitlines()[-1].startswith("error: minikube-m0")
    assert "has the volumes of" in refused.stderr
    assert saves(program, "still-there")


def _move_the_primary_off_the_first_node(program: Program) -> None:
    def elsewhere() -> bool:
        primary = next((name for name, state in members(program).items() if state == "PRIMARY"), "")
        if not primary:
            return False
        if node_of(program, primary) != _NAMES[0]:
            return True
        script = "try { rs.stepDown(30, 10) } catch (error) { }; print('null')"
        program.mongosh(script, as_root=True, member=primary)
        return False

    eventually("the primary is on another node", elsewhere, 120)
