"""What the sandbox needs of the machine it runs on, each missing thing named in one line before anything is done."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox.build import GO_CACHE
from sandbox.places import CACHE, STATE, SandboxError

# Bytes. While everything is built, the Go caches grow to 11 GB; what stays is 2 GB, and a node's disk 2 GB.
BUILD_BYTES: Final = 15 * 10**9
RUN_BYTES: Final = 3 * 10**9
_TOOLS: Final = {"go": "Go 1.26 or newer", "node": "Node 20 or newer", "npm": "npm", "apt-get": "a Debian system"}


def check(building: Callable[[], bool]) -> None:
    """Checks the machine; SandboxError names what is missing.

    `building` says whether something has to be built, which needs more. Only root is asked: others may not read it.
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
    # A build that goes on has used some of it already.
    if build and not GO_CACHE.exists():
        _check_space(CACHE, BUILD_BYTES, ", or set PACMAN_CACHE to a folder on another disk")
    _check_space(STATE, RUN_BYTES)


def _check_tools() -> None:
    for name, use in _TOOLS.items():
        if shutil.which(name) is None:
            raise SandboxError(f"`{name}` is not on PATH: the sandbox is built with {use}")
    for command, least in (("go env GOVERSION", (1, 26)), ("node --version", (20,))):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        if tuple(map(int, re.findall(r"\d+", done.stdout)[: len(least)])) < least:
            name, said = command.split()[0], done.stdout.strip() or "broken"
            raise SandboxError(f"{name} is {said}: the sandbox is built with {_TOOLS[name]}")
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


def _check_space(folder: Path, needed: int, otherwise: str = "") -> None:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        has, needs = (f"{each / 10**9:.1f}" for each in (free, needed))
        raise SandboxError(f"{there} has {has} GB free, {needs} GB are needed: make room{otherwise}")
