"""The node: a process tree in namespaces of its own, joined to this machine by one pair of virtual links.

Starting it is `unshare` with rootfs/enter as its first process; ending it is killing that process, on which the kernel
takes away everything that ran or was mounted in it. What the kernel leaves is the link's end on this side and empty
cgroups, which `stop` removes. What should outlive it (etcd, images, volumes, keys) lies in .sandbox/node/data.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox import parts
from sandbox.places import CONTEXT, FILES, STATE, SandboxError
from sandbox.progress import Progress

ADDRESS: Final = "192.168.49.2"
"""The node's, which minikube's docker driver gives its first node, too."""
_NETWORK: Final = "192.168.49."
_HOST_ADDRESS: Final = "192.168.49.1/24"
LINK: Final = "pacman0"
"""This machine's end of the pair; its alias says which checkout made it."""
CGROUP: Final = "pacman-sandbox"
_NODE: Final = STATE / "node"
_DATA: Final = _NODE / "data"
_PID: Final = _NODE / "pid"
_LOADED: Final = _DATA / "images.json"
_VERSIONS: Final = _NODE / "versions"
_BOOT_SECONDS: Final = 120.0


def path() -> tuple[Path, ...]:
    """The folders of the programs, as they lie on this machine."""
    return (parts.PULUMI.folder, parts.KUBERNETES.folder)


def pid() -> int | None:
    """The node's first process, as this machine counts; None where none of this checkout runs."""
    try:
        number, started = _PID.read_text().split()
    except (OSError, ValueError):
        return None
    return int(number) if _started(int(number)) == started else None


def start(progress: Progress) -> None:
    """Starts the node, or goes on with one that is starting; returns when pods can run and the Ingress serves.

    Raises:
        SandboxError: The address is taken, or something does not come up.
    """
    if pid() is not None and _VERSIONS.read_text() != _versions():
        progress.say("  the node that runs is of other versions: it is started anew")
        stop()
    if pid() is not None and not _is_joined():
        progress.say("  the node that runs was left while it started: it is started anew")
        stop()
    if pid() is None:
        _check_network()
        with progress.step("starting the node"):
            _start()
    with progress.step("waiting for the API server"):
        _until(lambda: _kubectl("get", "--raw", "/readyz") == "ok", "kube-apiserver")
    with progress.step("loading images"):
        _until(lambda: in_node("ctr", "version").returncode == 0, "containerd")
        _load_images()
    with progress.step("waiting for the node to be ready"):
        _apply()
        ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        _until(lambda: _kubectl("get", "node", "minikube", "--output", ready) == "True", "kubelet")
        dns = ("get", "deployment", "coredns", "--namespace", "kube-system")
        _until(lambda: _kubectl(*dns, "--output", "jsonpath={.status.availableReplicas}") == "1", "kubelet")
        _until(_ingress_answers, "ingress-controller")


def stop() -> bool:
    """Ends the node and removes what it leaves on this machine; returns whether one ran.

    Raises:
        SandboxError: A process of it does not end.
    """
    running = pid()
    if running is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(running, signal.SIGKILL)
        end = time.monotonic() + 30
        while pid() is not None:
            if time.monotonic() > end:
                raise SandboxError(f"process {running} does not end: it waits for a disk, or is being debugged")
            time.sleep(0.02)
    _PID.unlink(missing_ok=True)
    link = _links().get(LINK)
    if link and link.get("ifalias") == str(STATE.parent):
        _ip("link", "delete", LINK)
    if link is None or link.get("ifalias") == str(STATE.parent):
        _remove_cgroups()
    return running is not None


def remove_data() -> None:
    """Deletes the node's disk: etcd, images, volumes, keys."""
    if pid() is not None:
        raise SandboxError("the node runs: `python -m sandbox down` first")
    if _NODE.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", str(_NODE)], check=True)
    (STATE / "kubeconfig").unlink(missing_ok=True)


def services() -> dict[str, str]:
    """What runs on the node, with how it is, as its supervisor says; empty where no node runs."""
    names = _service_names()
    if pid() is None:
        return {}
    done = in_node("sv", "status", *(f"/run/services/{name}" for name in names))
    lines = done.stdout.splitlines()
    return dict(zip(names, (line.split(";")[0].replace("/run/services/", "") for line in lines), strict=False))


def log_file(service: str) -> Path:
    """The log that is being written.

    Raises:
        SandboxError: There is no such service.
    """
    logs = _DATA / "log"
    known = _service_names()
    if service not in known:
        raise SandboxError(f'"{service}" is no service of the node: {", ".join(known)}')
    file = logs / service / "current"
    if not file.exists():
        raise SandboxError(f"{service} has no log yet: `python -m sandbox up` starts the node")
    return file


def shell_command() -> list[str]:
    """The command that opens a shell in the node.

    Raises:
        SandboxError: No node runs.
    """
    return [*entering(), "/bin/bash", "--norc"]


# --- Pieces ----------------------------------------------------------------------------------------------------------


def _start() -> None:
    for folder in (_NODE / "mount", _DATA):
        folder.mkdir(parents=True, exist_ok=True)
    # Nobody but root looks into keys, volumes and stacks.
    for folder in (STATE, _NODE):
        folder.chmod(0o700)
    env = {
        "CNI_PLUGINS": f"/opt/parts/{parts.CNI_PLUGINS.folder.name}",
        "DEBIAN": str(parts.DEBIAN.folder / "root"),
        "FILES": str(FILES / "rootfs"),
        "PARTS": str(parts.PARTS),
        "PATH": _node_path(),
        "STATE": str(_NODE),
    }
    log = _NODE / "boot.log"
    namespaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--propagation", "private"]
    with log.open("w") as output:
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
        _until(
            lambda: bool(children.read_text().split()), "the first process", gave_up=lambda: unshare.poll() is not None
        )
        first = int(children.read_text().split()[0])
        _VERSIONS.write_text(_versions())  # before the pid: who finds a node must find what it was started from
        _PID.write_text(f"{first} {_started(first)}")
        _ip("link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(first))
        _ip("link", "set", LINK, "alias", str(STATE.parent))
        _ip("address", "add", _HOST_ADDRESS, "dev", LINK)
        _ip("link", "set", LINK, "up")
        admin = _DATA / "kubeconfig/super-admin.conf"
        began = time.time()
        _until(
            lambda: admin.exists() and admin.stat().st_mtime >= began - 1 and _services_began(),
            "the node's first process",
            gave_up=lambda: unshare.poll() is not None,
        )
    except BaseException:
        unshare.kill()
        unshare.wait()
        stop()
        raise
    _write_kubeconfig(admin)


def _versions() -> str:
    """What a node is started from: its parts, and its files."""
    digest = hashlib.sha256()
    for file in sorted(each for each in (FILES / "rootfs").rglob("*") if each.is_file()):
        digest.update(file.read_bytes())
    return " ".join([parts.DEBIAN.folder.name, parts.CNI_PLUGINS.folder.name, _node_path(), digest.hexdigest()])


def _service_names() -> list[str]:
    return sorted(each.name for each in (FILES / "rootfs/services").iterdir())


def _is_joined() -> bool:
    """Whether the node's start went through; the kubeconfig is the last thing that it writes."""
    kubeconfig = STATE / "kubeconfig"
    return kubeconfig.exists() and kubeconfig.stat().st_mtime >= _PID.stat().st_mtime


def _services_began() -> bool:
    return in_node("sv", "check", "/run/services/etcd").returncode == 0


def _write_kubeconfig(admin: Path) -> None:
    """The administrator's kubeconfig under a context name of our own, for the person's side."""
    config = yaml.safe_load(admin.read_text())
    (context,) = config["contexts"]
    context["name"] = config["current-context"] = CONTEXT
    target = STATE / "kubeconfig"
    partial = target.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(yaml.safe_dump(config))
    partial.replace(target)


def _apply() -> None:
    """The cluster's own objects. The storage classes only where they are missing: their marks may have been moved."""
    manifests = [*sorted((FILES / "rootfs/manifests").glob("*.yaml")), FILES / "ingress/rbac.yaml"]
    _kubectl("apply", "--filename", ",".join(map(str, manifests)), check=True)
    if not _kubectl("get", "storageclass", "standard", "--ignore-not-found", "--output", "name"):
        _kubectl("apply", "--filename", str(FILES / "rootfs/storage-classes.yaml"), check=True)


def _load_images() -> None:
    loaded = json.loads(_LOADED.read_text()) if _LOADED.exists() else []
    wanted = [f"{part.folder.name}/{file.name}" for part in parts.IMAGES for file in sorted(part.folder.glob("*.tar"))]
    for archive in wanted:
        if archive in loaded:
            continue
        done = in_node("ctr", "--namespace", "k8s.io", "images", "import", "--local", f"/opt/parts/{archive}")
        if done.returncode:
            raise SandboxError(f"cannot load the image {archive}: {(done.stderr or done.stdout).strip()[-300:]}")
    _LOADED.write_text(json.dumps(wanted))


def _ingress_answers() -> bool:
    """Whether the controller has written its first configuration, as it says inside the node."""
    asked = "exec 3<>/dev/tcp/127.0.0.1/10254; printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3"
    return " 200 " in in_node("bash", "-c", asked).stdout


def _check_network() -> None:
    """Makes sure that the address is free.

    Raises:
        SandboxError: Another checkout's node, or something else, has it.
    """
    links = _links()
    if link := links.get(LINK):
        owner = link.get("ifalias", "somebody else")
        if owner != str(STATE.parent) and Path(owner, ".sandbox/node/pid").exists():
            raise SandboxError(f"the node of {owner} runs already, and a machine has room for one: `make down` there")
        _ip("link", "delete", LINK)  # what a killed `up` left behind
    for name, link in links.items():
        for address in link.get("addr_info", []):
            if name != LINK and str(address.get("local", "")).startswith(_NETWORK):
                raise SandboxError(
                    f"{name} has the address {address['local']}, and the node needs {_NETWORK}0/24:"
                    " a minikube on this machine? stop it (`minikube stop`, `docker network rm minikube`)"
                )


def _links() -> dict[str, dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_ip("-json", "-details", "address", "show") or "[]")
    return {each["ifname"]: each for each in listed if "ifname" in each}


def _ip(*arguments: str) -> str:
    """Runs `ip` on this machine's network; where this machine has none, the node's program does it."""
    command = [shutil.which("ip") or "ip", *arguments]
    if not Path(command[0]).is_file():
        command = ["chroot", str(parts.DEBIAN.folder / "root"), "/sbin/ip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _remove_cgroups() -> None:
    """Removes the node's cgroups, the deepest first; the kernel needs a moment to see that they are empty."""
    roots = [
        each for each in (*Path("/sys/fs/cgroup").glob(f"*/{CGROUP}"), Path("/sys/fs/cgroup", CGROUP)) if each.is_dir()
    ]
    end = time.monotonic() + 10
    for root in roots:
        for folder, _, _ in os.walk(root, topdown=False):
            while True:
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise SandboxError(f"{folder} is still in use: a process of the node is left") from None
                    time.sleep(0.05)


def entering() -> list[str]:
    """What to put before a command to run it on the node.

    Raises:
        SandboxError: No node runs.
    """
    running = pid()
    if running is None:
        raise SandboxError("the node does not run: `python -m sandbox up` starts it")
    entered = ["nsenter", "--target", str(running), "--mount", "--pid", "--net", "--uts", "--ipc"]
    return [*entered, "env", "--ignore-environment", f"PATH={_node_path()}", "TERM=xterm", "HOME=/root"]


def in_node(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command on the node.

    Raises:
        SandboxError: No node runs.
    """
    return subprocess.run(
        [*entering(), *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def _node_path() -> str:
    """PATH as the node has it."""
    programs = (parts.KUBERNETES, parts.ETCD, parts.CONTAINERD, parts.LOCAL_PATH, parts.INGRESS)
    folders = [f"/opt/parts/{part.folder.name}" for part in programs]
    return ":".join([*folders, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])


def _kubectl(*arguments: str, check: bool = False) -> str:
    command = [str(parts.KUBERNETES.folder / "kubectl"), "--kubeconfig", str(STATE / "kubeconfig"), *arguments]
    env = os.environ | {"KUBECACHEDIR": str(STATE / "kubectl-cache")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise SandboxError(f"kubectl {arguments[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip() if done.returncode == 0 else ""


def _until(condition: Callable[[], bool], what: str, gave_up: Callable[[], bool] = lambda: False) -> None:
    end = time.monotonic() + _BOOT_SECONDS
    while not condition():
        if gave_up() or time.monotonic() > end:
            logs = _DATA / "log" / what / "current"
            source = logs if logs.exists() else _NODE / "boot.log"
            said = [line for line in source.read_text(errors="replace").splitlines() if line.strip()][-1:]
            raise SandboxError(f"{what} did not come up: {said[0][:300] if said else 'it said nothing'} ({source})")
        time.sleep(0.1)


def _started(number: int) -> str | None:
    """When a process began, as the kernel counts: with its number, it is one process and no other."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
