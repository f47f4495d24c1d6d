"""Faults on purpose: a process is killed or stopped, a pod cut off, a volume full. `node stop` cuts a node's power.

A fault that lasts is a context manager that undoes it at its end, also after an error or Ctrl-C.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox import cluster, node
from sandbox.node import Node
from sandbox.places import SandboxError

FAULTS: Final = ("kill", "stop", "isolate", "fill")
_VOLUME: Final = "/etc/sandbox/volume"  # the script, on each node


@dataclass(frozen=True)
class Pod:
    """A pod, `NAMESPACE/NAME`, on its node."""

    name: str
    uid: str
    node: Node

    @classmethod
    def find(cls, name: str) -> "Pod":
        """The pod of that name; SandboxError if there is none, or if it has no node."""
        found = _get("pod", name)
        place = next((each for each in node.ALL if each.name == found["spec"].get("nodeName")), None)
        if place is None:
            raise SandboxError(f"{name} has no node: wait until it runs")
        return cls(name, found["metadata"]["uid"], place)

    def processes(self, name: str) -> list[int]:
        """Its processes of that name, as this machine counts them; SandboxError if there is none."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                # The kubelet names a pod's cgroup after its UID.
                if f"/pod{self.uid}/" in (folder / "cgroup").read_text():
                    found.append((int(folder.name), (folder / "comm").read_text().strip()))
        if not (numbers := [number for number, its in found if its == name]):
            has = ", ".join(sorted({its for _, its in found})) or "none"
            raise SandboxError(f'PROCESS is "{name}": {self.name} has {has}')
        return numbers

    def signal(self, process: str, number: signal.Signals) -> None:
        """Sends a signal to its processes of that name; SandboxError if there is none."""
        for each in self.processes(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)


@contextlib.contextmanager
def stopped(pod: Pod, process: str) -> Iterator[None]:
    """Stops the processes of that name: they keep their connections and answer nothing."""
    pod.signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(SandboxError):  # somebody has killed it
            pod.signal(process, signal.SIGCONT)


@contextlib.contextmanager
def isolated(pod: Pod, process: str) -> Iterator[None]:
    """Cuts the network of the pod that has that process: nothing comes in or goes out, not even from its own node.

    So the kubelet's TCP and HTTP probes fail. Its `exec` probes need no network, and go on.
    """
    # The number, on the node, of the other end of the pod's eth0.
    index = int(Path(f"/proc/{pod.processes(process)[0]}/root/sys/class/net/eth0/iflink").read_text())
    links = json.loads(_run(pod.node, "ip", "-json", "link"))
    link = next(each["ifname"] for each in links if each["ifindex"] == index)
    try:
        _run(pod.node, "ip", "link", "set", link, "down")
        yield
    finally:
        pod.node.run("ip", "link", "set", link, "up")  # fails where the pod has gone, and its link with it


@contextlib.contextmanager
def limited(pod: Pod, process: str, claim: str) -> Iterator[str]:
    """Moves the folder of a claim, which has no limit of its own, to a disk of 1 GiB; yields the folder.

    The process that uses it is stopped meanwhile and then killed, so its container starts again on the disk. At the end
    all of it is moved back in the same way. A restart of the node before that loses the volume.
    """
    pod.processes(process)
    volumes = _get("pod", pod.name)["spec"].get("volumes", [])
    claims = [its["persistentVolumeClaim"]["claimName"] for its in volumes if "persistentVolumeClaim" in its]
    if claim not in claims:
        raise SandboxError(f"CLAIM is {claim}: {pod.name} uses {', '.join(claims) or 'no claim'}")
    volume = _get("pv", str(_get("pvc", f"{pod.name.partition('/')[0]}/{claim}")["spec"]["volumeName"]))
    folder = str((volume["spec"].get("hostPath") or volume["spec"]["local"])["path"])
    if pod.node.run("test", "-e", f"{folder}.disk").returncode == 0:
        raise SandboxError(f"{folder}.disk is there: another fill is at work, or was ended by a restart of the node")
    try:
        _move(pod.name, process, "to-disk", folder)
        yield folder
    finally:
        _move(pod.name, process, "from-disk", folder)


@contextlib.contextmanager
def filled(its: Node, folder: str) -> Iterator[None]:
    """Fills the disk that `limited` has put under a folder, to its last byte."""
    try:
        _run(its, _VOLUME, "fill", folder)
        yield
    finally:
        its.run("rm", "-f", f"{folder}/full")


def run(fault: str, pod: Pod, process: str, claim: str, seconds: float) -> None:
    """Makes one of FAULTS, and undoes it after some seconds."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it is undone then, too
    with contextlib.ExitStack() as undo:
        if fault == "kill":
            return pod.signal(process, signal.SIGKILL)
        if fault == "fill":
            undo.enter_context(filled(pod.node, undo.enter_context(limited(pod, process, claim))))
        else:
            undo.enter_context((stopped if fault == "stop" else isolated)(pod, process))
        return time.sleep(seconds)


def _move(name: str, process: str, direction: str, folder: str) -> None:
    """Moves its data while a process stands still, which then starts again. Waits for it, as it may have crashed."""
    end = time.monotonic() + 330  # the kubelet waits for 300 s at most
    while True:
        try:
            pod = Pod.find(name)
            pod.signal(process, signal.SIGSTOP)
            break
        except SandboxError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    try:
        _run(pod.node, _VOLUME, direction, folder)
    finally:
        pod.signal(process, signal.SIGKILL)


def _get(kind: str, name: str) -> dict[str, Any]:
    namespace, _, own = name.rpartition("/")
    if kind == "pod" and not namespace:
        raise SandboxError(f"POD is {name}: must be NAMESPACE/NAME, such as pacman/mongo-0")
    options = ("--namespace", namespace or "default", "--output", "json")
    found: dict[str, Any] = json.loads(cluster.kubectl("get", kind, own, *options, check=True))
    return found


def _run(its: Node, *command: str) -> str:
    """What a command prints on a node. Ctrl-C waits for its end: half a copy of a volume is none."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        done = its.run(*command)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if done.returncode:
        raise SandboxError(f"{command[0]} on {its.name}: {done.stderr.strip()[-300:]}")
    return done.stdout
