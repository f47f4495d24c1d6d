"""This machine's side of the nodes' network: one bridge, and for each node a link into it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from sandbox import parts
from sandbox.places import STATE, SandboxError

SUBNET: Final = "192.168.49."
"""What minikube's docker driver uses, too; the nodes are .2, .3 and .4."""
BRIDGE: Final = "pacman0"
"""Its alias says which checkout made it."""
_ADDRESS: Final = f"{SUBNET}1/24"


def without_proxy() -> dict[str, str]:
    """The variables with which no program asks a proxy for the first node, which has the API server and the game."""
    others = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(dict.fromkeys(filter(None, (*others, f"{SUBNET}2")))))


def check() -> None:
    """Removes a bridge that a killed `up` left; SandboxError if another checkout's node, or else, has the addresses."""
    links = _links()
    if bridge := links.get(BRIDGE):
        owner = bridge.get("ifalias", "somebody else")
        if owner != str(STATE.parent) and any(map(running, Path(owner, ".sandbox").glob("*/pid"))):
            raise SandboxError(
                f"the node of {owner} runs already, and a machine has room for one:"
                " `make stop` there stops it and keeps its scores"
            )
        _ip("link", "delete", BRIDGE)
    for name, link in links.items():
        for address in link.get("addr_info", []):
            if name != BRIDGE and str(address.get("local", "")).startswith(SUBNET):
                raise SandboxError(
                    f"{name} has the address {address['local']}, and the node needs {SUBNET}0/24:"
                    " a minikube on this machine? stop it (`minikube stop`, `docker network rm minikube`)"
                )


def connect(link: str, process: int) -> None:
    """Joins the network namespace of a process, as its eth0, to the bridge, which is checked and made if missing."""
    if is_anothers() or BRIDGE not in _links():
        check()
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("link", "set", BRIDGE, "alias", str(STATE.parent))
        _ip("address", "add", _ADDRESS, "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
    disconnect(link)  # of a node that was killed; the kernel would take a minute to remove it by itself
    _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(process))
    _ip("link", "set", link, "master", BRIDGE, "up")


def disconnect(link: str) -> None:
    """Removes a node's link, if it is there."""
    if link in _links():
        try:
            _ip("link", "delete", link)
        except SandboxError:
            if link in _links():  # the kernel removes it, too, once its node has ended
                raise


def is_anothers() -> bool:
    """Whether another checkout has the network: then its nodes run, and none of this one."""
    bridge = _links().get(BRIDGE)
    return bridge is not None and bridge.get("ifalias") != str(STATE.parent)


def remove() -> None:
    """Removes this checkout's bridge, if it is there."""
    if BRIDGE in _links() and not is_anothers():
        _ip("link", "delete", BRIDGE)


def running(file: Path) -> int | None:
    """The process that a node's pid file names; None where it has ended."""
    try:
        number, start = file.read_text().split()
    except (OSError, ValueError):
        return None
    return int(number) if began(int(number)) == start else None


def began(number: int) -> str | None:
    """When a process began, as the kernel counts: with its number, it is one process and no other."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _links() -> dict[str, dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_ip("-json", "-details", "address", "show") or "[]")
    return {each["ifname"]: each for each in listed if "ifname" in each}


def _ip(*arguments: str) -> str:
    """Runs `ip` on this machine's network; where this machine has none, the node's program does it."""
    found = shutil.which("ip")
    command = [found] if found else ["chroot", str(parts.DEBIAN.folder / "root"), "/sbin/ip"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
