"""What `make bench` and `make chaos` share: RUNS, ONLY and STACK, the file of figures, where and when they ran."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")

_MOST_RUNS = 50


class MeasuringError(Exception):
    """Something that the person can fix, or a step that failed: one line."""


def number_of_runs(env: Mapping[str, str]) -> int:
    """How often each thing is done: RUNS, 5 by default.

    Raises:
        MeasuringError: It is not a number from 1 to 50.
    """
    runs = env.get("RUNS") or "5"
    if not runs.isascii() or not runs.isdigit() or not 1 <= int(runs) <= _MOST_RUNS:
        raise MeasuringError(f"RUNS is {runs}: must be a number from 1 to {_MOST_RUNS}")
    return int(runs)


def chosen(env: Mapping[str, str], allowed: Collection[str]) -> list[str]:
    """What ONLY names; nothing where it is not set.

    Raises:
        MeasuringError: A name is not one of those allowed.
    """
    asked = [name.strip() for name in (env.get("ONLY") or "").split(",") if name.strip()]
    for name in asked:
        if name not in allowed:
            raise MeasuringError(f"ONLY has {name}: must be of {', '.join(allowed)}, separated by commas")
    return asked


def refuse_other_stacks(env: Mapping[str, str]) -> None:
    """Holds the person to the sandbox, which may be broken and filled.

    Raises:
        MeasuringError: STACK names another stack.
    """
    stack = env.get("STACK") or "sandbox"
    if stack != "sandbox":
        raise MeasuringError(f"STACK is {stack}: must be sandbox, the only stack that this command loads and breaks")


def until(what: str, condition: Callable[[], Found], *, seconds: float = 600.0, pause: float = 0.05) -> Found:
    """Waits until a condition holds; returns what it gives then.

    Raises:
        MeasuringError: It does not, in that time.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise MeasuringError(f"not in {seconds:.0f} s: {what}")
        time.sleep(pause)
    return found


def write_figures(file: Path, values: object) -> None:
    """Writes figures as JSON, in one step."""
    half = file.with_suffix(".partial")
    half.write_text(json.dumps(values, indent=1) + "\n")
    half.replace(file)


def read_figures(file: Path) -> Any:  # noqa: ANN401 - what JSON holds
    """The figures that a file has; None where there is no such file.

    Raises:
        MeasuringError: It is not JSON.
    """
    try:
        return json.loads(file.read_text()) if file.exists() else None
    except ValueError as problem:
        raise unreadable(file, problem) from None


def unreadable(file: Path, problem: Exception) -> MeasuringError:
    """The error about a file that is not what was written."""
    return MeasuringError(f"{file} cannot be read ({problem}): delete it")


def this_machine() -> str:
    """CPU model, cores, memory and kernel of this machine, as one line."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, {memory('MemTotal') / 2**30:.1f} GiB of memory, Linux {platform.release()}"


def memory(name: str) -> float:
    """A value of /proc/meminfo, in bytes."""
    return next(float(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith(f"{name}:"))


def today() -> str:
    """The date, as it is stored."""
    return date.today().isoformat()


def commit_of(checkout: Path) -> str:
    """The commit that is checked out, `with changes` where files differ from it; `unknown` without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # A report itself is always changed once a part of it was measured.
        changed = git("status", "--porcelain", "--", ".", ":!docs/performance.*", ":!docs/chaos.*")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()
