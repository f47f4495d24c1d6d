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
# Folder and megabytes. Nothing is deleted before all of it is copied; the disk is removed if the copy fails.
_TO_DISK: Final = """set -e
truncate -s "$2M" "$1.disk"
mkfs.ext4 -q -m 0 "$1.disk"
mkdir "$1.new"
mount -o loop "$1.disk" "$1.new"
rmdir "$1.new/lost+found"
cp -a "$1/." "$1.new" || { umount "$1.new"; rm -r "$1.new" "$1.disk"; exit 1; }
find "$1" -mindepth 1 -delete
mount --move "$1.new" "$1"
"""
_FROM_DISK: Final = """set -e
mountpoint -q "$1" || exit 0
mount --move "$1" "$1.new"
cp -a "$1.new/." "$1"
umount "$1.new"
rm -r "$1.new" "$1.disk"
"""


# Most of it at once. The file system needs some blocks for itself, so the rest is written until nothing fits.
_FILL: Final = """fallocate -l "$(($(stat -f -c '(%a-1024)*%S' "$1")))" "$1/full" && ! cat /dev/zero >>"$1/full" 2>&-"""


@dataclass(frozen=True)
class Pod:
    """A pod, `NAMESPACE/NAME`, on its node."""

    name: str
    uid: str
    node: Node

    @classmethod
    def find(cls, name: str) -> "Pod":
        """The pod of that name.

        Raises:
            SandboxError: There is none, or it has no node.
        """
        found = _get("pod", name)
        place = next((each for each in node.ALL if each.name == found["spec"].get("nodeName")), None)
        if place is None:
            raise SandboxError(f"{name} has no node: wait until it runs")
        return cls(name, found["metadata"]["uid"], place)

    def processes(self, name: str) -> list[int]:
        """Its processes of that name, as this machine counts them.

        Raises:
            SandboxError: There is none.
        """
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
def limited(pod: Pod, process: str, claim: str, megabytes: int = 1024) -> Iterator[str]:
    """Moves the folder of a claim, which has no limit of its own, to a disk of that size; yields the folder.

    The process that uses it is stopped meanwhile and then killed, so its container starts again on the disk. At the end
    all of it is moved back in the same way. A restart of the node before that loses the volume.
    """
    pod.processes(process)
    volume = _get("pv", str(_get("pvc", f"{pod.name.partition('/')[0]}/{claim}")["spec"]["volumeName"]))
    folder = str((volume["spec"].get("hostPath") or volume["spec"]["local"])["path"])
    try:
        _move(pod.name, process, _TO_DISK, folder, str(megabytes))
        yield folder
    finally:
        _move(pod.name, process, _FROM_DISK, folder)


@contextlib.contextmanager
def filled(its: Node, folder: str) -> Iterator[None]:
    """Fills the disk that `limited` has put under a folder, to its last byte."""
    try:
        _run(its, "sh", "-c", _FILL, "sh", folder)
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


def _move(name: str, process: str, script: str, *arguments: str) -> None:
    """Runs a script while a process stands still, which then starts again. Waits for it, since it may have crashed."""
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
        _run(pod.node, "sh", "-c", script, "sh", *arguments)
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
