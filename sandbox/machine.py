"""What the sandbox needs of the machine it runs on, each missing thing named in one line before anything is done."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox.places import CACHE, STATE, SandboxError

# Bytes. While everything is built, the Go caches grow to 11 GB; what stays is 2 GB, and a node's disk 2 GB.
BUILD_BYTES: Final = 15 * 10**9
RUN_BYTES: Final = 3 * 10**9
_GO: Final = (1, 26)


def check(building: Callable[[], bool]) -> None:
    """Checks the machine.

    Args:
        building: Whether something has to be built, which needs more than running it. Asked of root only: others may
            not read what root has built.

    Raises:
        SandboxError: Something is missing.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise SandboxError(
            f"the sandbox needs Linux on x86_64, this is {platform.system()} on {platform.machine()}:"
            " use minikube and `pulumi up -s dev` here"
        )
    if os.geteuid() != 0:
        shell = 'sudo -E env "PATH=$PATH" bash'
        raise SandboxError(f"the sandbox makes namespaces and mounts, which needs root: `{shell}` opens a shell for it")
    if "avx" not in Path("/proc/cpuinfo").read_text().split():
        raise SandboxError("this CPU has no AVX, without which MongoDB 5.0 and newer do not run")
    build = building()
    if build:
        _check_tools()
    _check_space(CACHE, BUILD_BYTES if build else 0)
    _check_space(STATE, RUN_BYTES)


def _check_tools() -> None:
    for name, use in (("go", "Go 1.26 or newer"), ("node", "Node 20"), ("npm", "npm"), ("apt-get", "a Debian system")):
        if shutil.which(name) is None:
            raise SandboxError(f"`{name}` is not on PATH: the sandbox is built with {use}")
    done = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False)
    version = done.stdout.strip()
    numbers = tuple(int(part) for part in version.removeprefix("go").split(".")[:2] if part.isdigit())
    if numbers < _GO:
        raise SandboxError(
            f"go is {version or 'broken'}: the sandbox is built with Go {'.'.join(map(str, _GO))} or newer"
        )
    if shutil.which("mmdebstrap") is None:
        _install("mmdebstrap")


def _install(package: str) -> None:
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for attempt in (command, ["apt-get", "update", "--quiet"], command):
        done = subprocess.run(attempt, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if attempt is command and done.returncode == 0:
            return
    reason = (done.stderr or done.stdout).strip().splitlines()
    raise SandboxError(f"cannot install {package}: {reason[-1] if reason else 'apt-get failed'}")


def _check_space(folder: Path, needed: int) -> None:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise SandboxError(
            f"{there} has {free / 10**9:.1f} GB free, {needed / 10**9:.0f} GB are needed:"
            " make room, or set PACMAN_CACHE to a folder on another disk"
        )
