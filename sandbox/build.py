"""Builds parts: each into a folder of its own in the cache, several at the same time.

A part's folder is named after a digest of everything that it is built from. So a changed pin builds that part and those
that take something from it, and checkouts share what is equal. A folder appears by one rename when the part is whole,
so an interrupted build continues with the parts that are not. Go's caches stay until there is nothing left to build.

The machine is kept busy by three lanes, each of which does one thing at a time: one compiles (Go uses every core by
itself), one downloads what the next part to be compiled needs, and one makes everything else.
"""

import hashlib
import inspect
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from sandbox.places import CACHE, SandboxError
from sandbox.progress import Progress, duration

PARTS: Final = CACHE / "parts"
GO_CACHE: Final = CACHE / "go"
_OTHER_CACHES: Final = (CACHE / "npm", CACHE / "pip")
# What the first estimate of the remaining time counts with, until the machine has shown its own speed.
_TRUSTED_SECONDS: Final = 120.0
_TELLING: Final = re.compile(r"error|failed|cannot|refused|denied|no space|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """One thing that a part brings, for `status`."""

    name: str
    version: str
    origin: str


@dataclass(frozen=True, eq=False)
class Part:
    """One thing that is built."""

    name: str
    work: float
    """CPU seconds that it takes with empty caches, as measured; only used to estimate the remaining time."""
    build: Callable[["Build"], None]
    """Builds it into `Build.out`."""
    sources: Sequence[Path] = ()
    """Files and folders that it is built from."""
    recipe: Sequence[str] = ()
    """What else it is built from: flags, package names."""
    needs: Sequence["Part"] = ()
    """Parts that it takes things from."""
    fetch: Callable[["Build"], None] | None = None
    """Downloads what `build` compiles; a part without it is not compiled."""
    contents: Sequence[Content] = ()
    """What is in it, with versions and origins."""
    helpers: Sequence[Callable[..., object]] = ()
    """Functions that `build` calls, and that decide what is built."""

    @cached_property
    def key(self) -> str:
        """A digest of everything that it is built from."""
        digest = hashlib.sha256()
        functions = [inspect.getsource(each) for each in (self.build, *self.helpers)]
        for text in (self.name, *functions, *self.recipe, *(each.key for each in self.needs)):
            digest.update(text.encode() + b"\0")
        for source in self.sources:
            for file in sorted(files(source)):
                digest.update(str(file.relative_to(source.parent)).encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    @cached_property
    def folder(self) -> Path:
        """Where it lies once it is built."""
        return PARTS / f"{self.name}-{self.key}"

    @property
    def built(self) -> bool:
        """Whether it is there."""
        return self.folder.is_dir()


class Build:
    """The building of one part."""

    def __init__(self, part: Part, out: Path) -> None:
        self.part = part
        self.out = out
        self.env: dict[str, str] = {}
        """What its commands get on top of this process's environment."""
        self.log = CACHE / f"{part.name}.log"
        self.began: float | None = None
        self.detail = ""
        """How far it is, for a person."""
        self.inherited = 0.0
        """The share of the work that an earlier build had done already."""
        self.share = 0.0
        """The share of the work that is done, from 0 to 1."""
        self.packages: dict[str, tuple[str, int]] = {}
        """The Go packages that it is compiled from: name with version, and size in bytes."""
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, *command: str | Path, cwd: Path | None = None, on_line: Callable[[str], bool] | None = None) -> None:
        """Runs a command; SandboxError if it fails. Its output goes into the log, but for what `on_line` takes."""
        argv = [str(part) for part in command]
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(argv)}\n")
            log.flush()
            with self._lock:
                if self._stopped:
                    raise SandboxError(f"{self.part.name} was stopped")
                # Its own session, so that Ctrl-C reaches this process alone, which then stops all that it started. If
                # this process is killed, the kernel ends the command.
                process = self._process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "TERM", *argv],
                    cwd=cwd or self.out,
                    env={**os.environ, **_CACHE_VARIABLES, **self.env},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            for line in process.stdout or ():
                if not (on_line and on_line(line.rstrip())):
                    log.write(line)
            code = process.wait()
        if code:
            raise SandboxError(f"{argv[0]} failed for {self.part.name}: {_reason(self.log)} (all of it: {self.log})")

    def stop(self) -> None:
        """Ends the command that runs, and lets no other begin."""
        with self._lock:
            self._stopped = True
            if self._process and self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGTERM)


def build(parts: Sequence[Part], progress: Progress) -> None:
    """Builds what is missing, quick where nothing is; SandboxError if something cannot be built."""
    missing = [part for part in parts if not part.built]
    PARTS.mkdir(parents=True, exist_ok=True)
    remove(*PARTS.glob("*.partial*"))
    if missing:
        names = ", ".join(part.name for part in missing)
        progress.say(f"Building {names} into {CACHE}")
        progress.say("This is done once. An interrupted build continues where it stopped.")
        _build_all(missing, progress)


@contextmanager
def removing_caches(progress: Progress) -> Iterator[None]:
    """Removes the caches of Go, npm and pip, which takes a while, during something else that does."""
    # Under another name, since an interruption does not wait for it: it must not go on in the caches of the next build,
    # and the next `up` removes what is left.
    for cache in (GO_CACHE, *_OTHER_CACHES):
        if cache.exists():
            cache.rename(cache.with_name(f"{cache.name}.removed-{os.getpid()}"))
    remover = threading.Thread(target=remove, args=CACHE.glob("*.removed-*"), daemon=True)
    remover.start()
    yield
    if remover.is_alive():
        with progress.step("removing the caches of the build"):
            remover.join()


def remove_stale(parts: Sequence[Part]) -> int:
    """Removes parts of other versions, and returns how many."""
    stale = set(PARTS.glob("*")) - {part.folder for part in parts}
    remove(*stale)
    return len(stale)


def remove(*paths: Path) -> None:
    """Removes files and folders, if they exist, but not what somebody mounted in them."""
    subprocess.run(["rm", "-rf", "--one-file-system", *paths], check=True)


def files(source: Path) -> Iterator[Path]:
    """The files that something is built from, without what a package manager put there and what is only read."""
    if source.is_file():
        yield source
        return
    for folder, names, found in os.walk(source):
        names[:] = [name for name in names if name not in ("node_modules", "test")]
        yield from (Path(folder, file) for file in found if not file.endswith((".md", ".yaml")))


# --- Pieces ----------------------------------------------------------------------------------------------------------

_CACHE_VARIABLES: Final = {"npm_config_cache": str(_OTHER_CACHES[0]), "PIP_CACHE_DIR": str(_OTHER_CACHES[1])}


def _build_all(missing: Sequence[Part], progress: Progress) -> None:
    builds = {part: Build(part, Path(tempfile.mkdtemp(prefix=f"{part.name}.partial-", dir=PARTS))) for part in missing}
    compiling, downloading, other = (ThreadPoolExecutor(1) for _ in range(3))
    built: dict[Part, Future[None]] = {}
    pending: set[Future[None]] = set()
    try:
        for part, its in builds.items():
            waits = [built[needed] for needed in part.needs if needed in built]
            if part.fetch:
                waits.append(downloading.submit(_one_line, part.fetch, its))
            built[part] = (compiling if part.fetch else other).submit(_build_one, its, waits, progress)
            pending |= {built[part], *waits}
        began = time.monotonic()
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
            for each in done:
                each.result()
            active = [each for each in builds.values() if each.began and each.share < 1]
            doing = ", ".join(f"{each.part.name} {each.detail}".strip() for each in active)
            progress.update(doing or "downloading", *_estimate(list(builds.values()), time.monotonic() - began))
    finally:
        for lane in (compiling, downloading, other):
            lane.shutdown(wait=False, cancel_futures=True)
        for its in builds.values():
            its.stop()
        for lane in (compiling, downloading, other):
            lane.shutdown()


def _build_one(its: Build, waits: Sequence[Future[None]], progress: Progress) -> None:
    for each in waits:
        each.result()
    part = its.part
    its.began = time.monotonic()
    its.out.chmod(0o755)
    if not part.fetch:
        its.log.write_text("")
    _one_line(part.build, its)
    _one_line(lambda _: its.out.rename(part.folder), its)
    its.share = 1.0
    progress.say(f"  {part.name}: built in {duration(time.monotonic() - its.began)}")


def _one_line(work: Callable[[Build], object], its: Build) -> None:
    """Does some work of a part, and makes one line of what a person can cause in it, such as a full disk."""
    try:
        work(its)
    except (OSError, subprocess.SubprocessError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        raise SandboxError(f"cannot build {its.part.name}: {_with_advice(reason)}") from None


def _estimate(builds: Sequence[Build], elapsed: float) -> tuple[float, float]:
    """The share that is done, from 0 to 1, and the seconds that are left at the speed of this run so far."""
    work = sum(each.part.work for each in builds)
    done = sum(each.part.work * each.share for each in builds)
    done_now = done - sum(each.part.work * min(each.inherited, each.share) for each in builds)
    # In units of work per second, on a machine such as the work was measured on.
    expected = 0.85 * (os.cpu_count() or 1)
    speed = (done_now + expected * _TRUSTED_SECONDS) / (elapsed + _TRUSTED_SECONDS)
    return done / work, (work - done) / speed


def _reason(log: Path) -> str:
    """The last line of a log that says why something failed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return _with_advice(([line for line in lines if _TELLING.search(line)] or lines or ["no output"])[-1][:300])


def _with_advice(reason: str) -> str:
    if "no space" not in reason.lower():
        return reason
    return f"{reason}: make room on the disk of {CACHE}, or set PACMAN_CACHE to a folder on another disk"
