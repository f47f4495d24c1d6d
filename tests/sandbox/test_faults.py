"""`python -m sandbox fault`: what a pod meets, and that it is undone, also when the command is ended early."""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.faults import Pod
from sandbox.node import ALL
from sandbox.places import CHECKOUT
from tests.harness.kubectl import Kubectl
from tests.harness.waiting import eventually

_POD = "served"
_CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": "1Gi"}},
    },
}
_SERVER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": _POD},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "server",
                "image": "sandbox/busybox:1.35",
                "command": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/data"],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
_PROCESS = "busybox"


@pytest.fixture(scope="module")
def kubectl() -> Iterator[Kubectl]:
    """A namespace with a pod that serves what lies on its volume: `kept`."""
    made = Kubectl("sandbox", f"faults-{secrets.token_hex(4)}")
    made("create", "namespace", made.namespace)
    try:
        made("apply", "--filename", "-", stdin=f"{json.dumps(_CLAIM)}\n---\n{json.dumps(_SERVER)}")
        made("wait", "--for=condition=Ready", f"pod/{_POD}", "--timeout=60s")
        assert write(made, "kept") == "done"
        yield made
    finally:
        made("delete", "namespace", made.namespace)


def write(kubectl: Kubectl, text: str) -> str:
    """Writes a file on the volume, a page and not only a name; returns "done", or what prevented it.

    Nothing is returned where the container ended meanwhile: that says nothing about the volume.
    """
    script = f"(for i in $(/bin/busybox seq 2000); do echo {text} || exit; done >/data/{text}) 2>&1 && echo done"
    return kubectl("exec", _POD, "--", "/bin/busybox", "sh", "-c", f"{script}; true", check=False).strip()


def is_full(kubectl: Kubectl) -> bool:
    """Whether the volume has no room for another file."""
    return "No space left on device" in write(kubectl, another())


def another() -> str:
    """A name that no file has: to write an old one again would only need its own space."""
    return f"more-{secrets.token_hex(4)}"


def served(kubectl: Kubectl, name: str) -> bool:
    """Whether the pod serves a file of its volume to its node."""
    found = kubectl.live("pod", _POD)
    place = next(each for each in ALL if each.name == found["spec"]["nodeName"])
    ask = f"exec 3<>/dev/tcp/{found['status']['podIP']}/8080; printf 'GET /{name} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    return name in place.run("timeout", "1", "bash", "-c", ask).stdout


def restarts(kubectl: Kubectl) -> int:
    """How often its container was started again."""
    return int(kubectl.live("pod", _POD)["status"]["containerStatuses"][0]["restartCount"])


def command(kubectl: Kubectl, fault: str, *arguments: str) -> list[str]:
    """The command line of a fault."""
    return [sys.executable, "-m", "sandbox", "fault", fault, f"{kubectl.namespace}/{_POD}", _PROCESS, *arguments]


@contextmanager
def lasting(kubectl: Kubectl, fault: str, *arguments: str) -> Iterator[None]:
    """A fault that is ended by a signal, long before its time."""
    line = command(kubectl, fault, *arguments, "--for", "300")
    with subprocess.Popen(line, cwd=CHECKOUT, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM if fault == "stop" else signal.SIGINT)
    assert process.returncode == 130


def test_a_killed_process_starts_again(kubectl: Kubectl) -> None:
    before = restarts(kubectl)
    subprocess.run(command(kubectl, "kill"), cwd=CHECKOUT, check=True)
    eventually("its container is started again", lambda: restarts(kubectl) == before + 1)
    eventually("it serves", lambda: served(kubectl, "kept"))


def test_a_stopped_process_answers_nothing_and_goes_on_afterwards(kubectl: Kubectl) -> None:
    before = restarts(kubectl)
    with lasting(kubectl, "stop"):
        eventually("it answers nothing", lambda: not served(kubectl, "kept"))
    eventually("it serves", lambda: served(kubectl, "kept"))
    assert restarts(kubectl) == before


def test_an_isolated_pod_is_not_reached_even_from_its_node_until_it_is_undone(kubectl: Kubectl) -> None:
    with lasting(kubectl, "isolate"):
        eventually("it is not reached", lambda: not served(kubectl, "kept"))
        assert write(kubectl, "meanwhile") == "done", "it runs"
    eventually("it serves", lambda: served(kubectl, "meanwhile"))


def test_a_full_volume_takes_no_more_and_has_all_of_its_data_afterwards(kubectl: Kubectl) -> None:
    with lasting(kubectl, "fill", "data"):
        eventually("the volume is full", lambda: served(kubectl, "kept") and is_full(kubectl), 60)
        second = command(kubectl, "fill", "data")
        done = subprocess.run(second, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert "another fill is at work" in done.stderr
        assert served(kubectl, "kept")
        assert is_full(kubectl)
    eventually("it serves", lambda: served(kubectl, "kept"), 60)
    assert write(kubectl, another()) == "done"
    volumes = Pod.find(f"{kubectl.namespace}/{_POD}").node.data / "volumes"
    assert not list(volumes.glob("*.disk")), "the disk is removed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("kill", "mongo-0", "mongod"), "POD is mongo-0: must be NAMESPACE/NAME, such as pacman/mongo-0"),
        (("kill", "default/none", "mongod"), 'kubectl get: Error from server (NotFound): pods "none" not found'),
        (("fill", "default/none", "mongod"), "CLAIM is empty: must be the claim that the process uses"),
    ],
)
def test_a_mistake_is_reported_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    line = [sys.executable, "-m", "sandbox", "fault", *arguments]
    done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


def test_a_claim_that_the_pod_does_not_use_is_refused_with_those_that_it_uses(kubectl: Kubectl) -> None:
    done = subprocess.run(command(kubectl, "fill", "other"), cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.stderr == f"error: CLAIM is other: {kubectl.namespace}/{_POD} uses data\n"


def test_a_process_that_a_pod_has_not_is_reported_with_those_that_it_has(kubectl: Kubectl) -> None:
    line = [*command(kubectl, "kill")[:-1], "mongod"]
    done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert f'PROCESS is "mongod": {kubectl.namespace}/{_POD} has {_PROCESS}' in done.stderr
