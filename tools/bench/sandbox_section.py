"""The section about `make up` and `make down`.

`make down` destroys the stack of `make up` with its scores, and a machine has room for one node. So a copy of the
checkout, with a stack and a node's disk of its own, stands in while the checkout's node is stopped: that one keeps
everything that it has, and is started again at the end.
"""

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Final

from sandbox import build, engine, node, parts
from sandbox.places import CACHE, CHECKOUT
from tools.bench.figures import Row
from tools.bench.rig import (
    FOLDER,
    Stopwatch,
    copy_checkout,
    memory_of_node,
    run,
    say,
    score_is_saved,
    uninterrupted,
)
from tools.measuring import until

_CLONE: Final = FOLDER / "checkout"
_EMPTY_CACHE: Final = FOLDER / "cache"
_DOWNLOADS: Final = FOLDER / "downloads"
"""The caches of npm and pip for a cold `make up`."""
_COLD_SECONDS: Final = 3600.0
# make hands its options on to what it starts, and a make in there would take them for its own.
_OF_MAKE: Final = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "RUNS", "ONLY", "COLD", "NODES", "STACK")


def up_and_down(runs: int) -> list[Row]:
    """`make up` and `make down` with everything built, and what a node takes."""
    took, memory, disk = Stopwatch(), list[float](), list[float]()
    with _own_node_stopped(), _clone(CACHE) as clone:
        for number in range(1, runs + 1):
            clone.forget()
            say(f"  run {number} of {runs}: make up in a new checkout")
            with took("new"):
                clone.up()
            memory.append(memory_of_node(clone.first_process) / 10**6)
            say(f"  run {number} of {runs}: make up on a running sandbox")
            with took("again"):
                clone.up()
            say(f"  run {number} of {runs}: make down")
            with took("down"):
                clone.down()
            say(f"  run {number} of {runs}: make up after make down")
            with took("warm"):
                clone.up()
            clone.down()
            disk.append(disk_of(clone.folder / ".sandbox") / 10**9)
    return [
        Row("make up until a score is saved, after make down", "s", took["warm"], target=30),
        Row("make up until a score is saved, in a new checkout", "s", took["new"], target=30),
        Row("make up on a running sandbox", "s", took["again"], target=5),
        Row("make down", "s", took["down"], target=10),
        Row("memory of the node's processes, one Pacman running", "MB", memory),
        Row("disk: .sandbox after make down", "GB", disk),
        Row(
            "disk: the parts of this version in the cache",
            "GB",
            [disk_of(*(part.folder for part in parts.ALL)) / 10**9],
            target=3,
        ),
        Row("disk: .venv", "GB", [disk_of(CHECKOUT / ".venv") / 10**9]),
    ]


def cold(runs: int) -> list[Row]:
    """`make up` with nothing built and nothing downloaded; once, whatever `runs` is."""
    del runs
    took = Stopwatch()
    with _own_node_stopped(), _clone(_EMPTY_CACHE) as clone:
        say("  make up with empty caches: this takes a quarter of an hour")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with took("cold"):
            clone.up()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cache = disk_of(_EMPTY_CACHE)
        clone.down()
    return [
        Row("make up with empty caches until a score is saved", "min", [took["cold"][0] / 60], target=14),
        Row("CPU time of that, without the node's own", "CPU-min", [cpu / 60], target=26),
        Row("disk: the cache after that", "GB", [cache / 10**9], target=3),
    ]


def disk_of(*folders: Path) -> float:
    """Bytes on the disk that some folders take, all files in them counted once."""
    printed = run("du", "--summarize", "--total", "--one-file-system", "--block-size=1", *folders, env=os.environ)
    return float(printed.splitlines()[-1].split()[0])


class _Clone:
    """A copy of the checkout, with a `.sandbox` of its own."""

    folder = _CLONE

    def __init__(self, cache: Path) -> None:
        """Args: cache: Where its parts are built, or have been."""
        own = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
        self._env = own | {"PACMAN_CACHE": str(cache)}
        if cache != CACHE:
            self._env |= {"PIP_CACHE_DIR": str(_DOWNLOADS / "pip"), "npm_config_cache": str(_DOWNLOADS / "npm")}

    @property
    def first_process(self) -> int:
        """The first process of its node."""
        return int((self.folder / ".sandbox/node/pid").read_text().split()[0])

    def up(self) -> None:
        """`make up`, until a score is saved."""
        run("make", "up", env=self._env, cwd=self.folder, seconds=_COLD_SECONDS)
        until("a score is saved on the sandbox of make up", lambda: score_is_saved(node.FIRST.address))

    def down(self) -> None:
        """`make down`."""
        run("make", "down", env=self._env, cwd=self.folder)

    def stop(self) -> None:
        """Stops its node, whatever runs on it."""
        run(sys.executable, "-m", "sandbox", "stop", env=self._env, cwd=self.folder)

    def forget(self) -> None:
        """Deletes its node's disk and its stack, as in a checkout that was just cloned."""
        build.remove(self.folder / ".sandbox")

    def forget_workspace(self) -> None:
        """Deletes the note of the engine about which stack is selected in this folder; checkouts share its home."""
        name = sha1(str(self.folder / "Pulumi.yaml").encode(), usedforsecurity=False).hexdigest()
        for file in (engine.home() / "workspaces").glob(f"*-{name}-workspace.json"):
            file.unlink()


@contextlib.contextmanager
def _clone(cache: Path) -> Iterator[_Clone]:
    """A copy of the checkout whose node and files are gone at the end."""
    copy_checkout(_CLONE, with_packages=cache == CACHE)
    clone = _Clone(cache)
    try:
        yield clone
    finally:
        with uninterrupted():
            clone.stop()
            clone.forget_workspace()
            build.remove(_CLONE, _EMPTY_CACHE, _DOWNLOADS)


@contextlib.contextmanager
def _own_node_stopped() -> Iterator[None]:
    """Stops the checkout's node, with all that it has, and starts it again at the end."""
    say("  stopping this checkout's node: its stack, scores and volumes stay, and it is started again at the end")
    sandbox = (sys.executable, "-m", "sandbox")
    try:
        run(*sandbox, "stop", env=os.environ)
        yield
    finally:
        say("  starting this checkout's node again")
        with uninterrupted():
            run(*sandbox, "up", env=os.environ)
