"""Where and when something was measured: the machine, the date, the commit."""

import os
import platform
import subprocess
from datetime import date
from pathlib import Path


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
