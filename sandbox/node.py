"""A node: a process tree in namespaces of its own, joined to this machine by a link into its bridge.

To start one is `unshare` with rootfs/enter as its first process. To end one is to kill that process: the kernel takes
away everything that ran or was mounted in it. It leaves the link's end on this side and empty cgroups, which `stop`
removes. What must outlive a node (etcd, images, volumes, keys) lies in its folder in .sandbox.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from sandbox import network, parts
from sandbox.build import PARTS, Part
from sandbox.places import FILES, STATE, SandboxError

_BOOT_SECONDS: Final = 120.0
_WORKER_SERVICES: Final = ("containerd", "kube-proxy", "kubelet")


@dataclass(frozen=True)
class Node:
    """One node; number 1 runs the control plane, too."""

    number: int
    """From 1 to 3."""
    name: str
    """The name that minikube gives it."""
    address: str
    """The address that minikube's docker driver gives it."""
    zone: str
    """Its label topology.kubernetes.io/zone."""
    link: str
    """This machine's end of its link."""
    cgroup: str
    """The cgroup, in each hierarchy, that its pods run in."""

    @property
    def folder(self) -> Path:
        """Where everything of it lies."""
        return STATE / ("node" if self.number == 1 else self.name)

    @property
    def data(self) -> Path:
        """What outlives it; /var/lib/sandbox on the node."""
        return self.folder / "data"

    @cached_property
    def services(self) -> Sequence[str]:
        """The services that it runs."""
        if self.number > 1:
            return _WORKER_SERVICES
        return sorted(each.name for each in (FILES / "rootfs/services").iterdir())

    def pid(self) -> int | None:
        """Its first process, as this machine counts; None where it does not run."""
        return network.running(self.folder / "pid")

    @property
    def is_current(self) -> bool:
        """Whether it runs, was started from the versions of this checkout, and its start was not cut off."""
        started = self.folder / "started"
        return started.exists() and started.read_text() == f"{self.pid()} {_versions()}"

    def start(self) -> None:
        """Starts it; returns when its services have begun, SandboxError if something does not come up."""
        for folder in (self.folder / "mount", self.data):
            folder.mkdir(parents=True, exist_ok=True)
        # Nobody but root looks into keys, volumes and stacks.
        for folder in (STATE, self.folder):
            folder.chmod(0o700)
        env = {
            "ADDRESS": self.address,
            "CGROUP": self.cgroup,
            "CNI_PLUGINS": f"/opt/parts/{parts.NODE_PROGRAMS.folder.name}",
            "DEBIAN": str(parts.DEBIAN.folder / "root"),
            "FILES": str(FILES / "rootfs"),
            "NODE": self.name,
            "NUMBER": str(self.number),
            "PARTS": str(PARTS),
            "PATH": _path(),
            "SERVICES": " ".join(self.services),
            "STATE": str(self.folder),
            "ZONE": self.zone,
        }
        namespaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--propagation", "private"]
        with (self.folder / "boot.log").open("w") as output:
            unshare = subprocess.Popen(
                ["unshare", *namespaces, "--fork", "--kill-child=KILL", "/bin/sh", str(FILES / "rootfs/enter")],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
            self.wait_for("the first process", lambda: bool(children.read_text().split()), unshare)
            first = int(children.read_text().split()[0])
            (self.folder / "pid").write_text(f"{first} {network.began(first)}")
            network.connect(self.link, first)
            services = ("sv", "check", "/run/services/containerd")
            self.wait_for("the services", lambda: bool(self.pid()) and not self.run(*services).returncode, unshare)
            (self.folder / "started").write_text(f"{first} {_versions()}")
        except BaseException:
            unshare.kill()
            unshare.wait()
            self.stop()
            raise

    def stop(self) -> bool:
        """Ends it as a power cut would, and removes what it leaves; whether it ran. SandboxError if it does not end."""
        running = self.pid()
        if running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(running, signal.SIGKILL)
            end = time.monotonic() + 30
            while self.pid() is not None:
                if time.monotonic() > end:
                    raise SandboxError(f"process {running} does not end: it waits for a disk, or is being debugged")
                time.sleep(0.02)
        (self.folder / "pid").unlink(missing_ok=True)
        if not network.is_anothers():
            network.disconnect(self.link)
            _remove_cgroup(self.cgroup)
        return running is not None

    def status(self) -> dict[str, str]:
        """What runs on it, with how it is, as its supervisor says; empty where the node does not run."""
        if self.pid() is None:
            return {}
        lines = self.run("sv", "status", *(f"/run/services/{name}" for name in self.services)).stdout.splitlines()
        states = (line.split(";")[0].replace("/run/services/", "") for line in lines)
        return dict(zip(self.services, states, strict=False))

    def log_file(self, service: str) -> Path:
        """The log that a service is writing; SandboxError if there is no such service, or if it never ran."""
        if service not in self.services:
            raise SandboxError(f'"{service}" is no service of {self.name}: {", ".join(self.services)}')
        file = self.data / "log" / service / "current"
        if not file.exists():
            raise SandboxError(f"{service} has no log yet: `make up` starts the node")
        return file

    def entering(self) -> list[str]:
        """What to put before a command to run it on the node; SandboxError if that does not run."""
        running = self.pid()
        if running is None:
            raise SandboxError(f"{self.name} does not run: `make up` starts it")
        entered = ["nsenter", "--target", str(running), "--mount", "--pid", "--net", "--uts", "--ipc"]
        return [*entered, "env", "--ignore-environment", f"PATH={_path()}", "TERM=xterm", "HOME=/root"]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command on the node; SandboxError if that does not run."""
        return subprocess.run(
            [*self.entering(), *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    def load_images(self, built: Sequence[Part]) -> None:
        """Loads the images of parts, but for those that it has; SandboxError if one cannot be loaded."""
        record = self.data / "images.json"
        # By name: an image takes its name away from the one that had it before.
        loaded = {Path(each).name: each for each in json.loads(record.read_text() if record.exists() else "[]")}
        wanted = {file.name: f"{part.folder.name}/{file.name}" for part in built for file in part.folder.glob("*.tar")}
        missing = [archive for name, archive in wanted.items() if loaded.get(name) != archive]
        if not missing:
            return
        self.wait_for("containerd", lambda: self.run("ctr", "version").returncode == 0)
        for archive in missing:
            done = self.run("ctr", "--namespace", "k8s.io", "images", "import", "--local", f"/opt/parts/{archive}")
            if done.returncode:
                reason = (done.stderr or done.stdout).strip()[-300:]
                raise SandboxError(f"cannot load the image {archive} on {self.name}: {reason}")
        write_private(record, json.dumps([*(loaded | wanted).values()]))

    def wait_for(
        self, what: str, condition: Callable[[], bool], process: "subprocess.Popen[bytes] | None" = None
    ) -> None:
        """Waits until a condition holds; SandboxError, with the last words of the service `what`, if it does not.

        Args:
            what: A service of the node, or what else is awaited; named in the error.
            condition: The condition.
            process: Without it, waiting is in vain.
        """
        end = time.monotonic() + _BOOT_SECONDS
        while not condition():
            if (process and process.poll() is not None) or time.monotonic() > end:
                log = self.data / "log" / what / "current"
                source = log if log.exists() else self.folder / "boot.log"
                said = [line for line in source.read_text(errors="replace").splitlines() if line.strip()][-1:]
                raise SandboxError(
                    f"{what} did not come up on {self.name}: {said[0][:300] if said else 'it said nothing'} ({source})"
                )
            time.sleep(0.05)


def write_private(target: Path, text: str) -> None:
    """Writes a file that only root reads, in one step."""
    half = target.with_suffix(".partial")
    half.touch(mode=0o600)
    half.write_text(text)
    half.replace(target)


ALL: Final = (
    Node(1, "minikube", f"{network.SUBNET}2", "sandbox-a", "pacman1", "pacman-sandbox"),
    Node(2, "minikube-m02", f"{network.SUBNET}3", "sandbox-b", "pacman2", "pacman-sandbox-2"),
    Node(3, "minikube-m03", f"{network.SUBNET}4", "sandbox-c", "pacman3", "pacman-sandbox-3"),
)
FIRST: Final = ALL[0]


def _versions() -> str:
    """What a node is started from: its parts, and its files."""
    digest = hashlib.sha256()
    for file in sorted(each for each in (FILES / "rootfs").rglob("*") if each.is_file()):
        digest.update(file.read_bytes())
    return " ".join([parts.DEBIAN.folder.name, _path(), digest.hexdigest()])


def _path() -> str:
    """PATH as a node has it."""
    folders = [f"/opt/parts/{part.folder.name}" for part in (parts.NODE_PROGRAMS, parts.LOCAL_PATH, parts.INGRESS)]
    return ":".join([*folders, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


def _remove_cgroup(name: str) -> None:
    """Removes a node's cgroups, the deepest first; the kernel needs a moment to see that they are empty."""
    root, end = Path("/sys/fs/cgroup"), time.monotonic() + 10
    while left := [each for top in (root / name, *root.glob(f"*/{name}")) for each, *_ in os.walk(top, topdown=False)]:
        if time.monotonic() > end:
            raise SandboxError(f"{left[0]} is still in use: a process of the node is left")
        for folder in left:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        time.sleep(0.02)
