"""What git knows of a change: which manifests differ, and whether a commit says that data may be deleted."""

import re
import subprocess
from pathlib import Path


def changed_manifests(base: str, folder: Path | None = None) -> str:
    """How the rendered manifests differ from those of a commit that this one descends from.

    Raises:
        ValueError: There is no such commit.
    """
    command = ("diff", "--no-color", "--no-ext-diff", "--merge-base", base, "--", "tests/golden/*.yaml")
    return _git(base, *command, folder=folder)


def line_that_intends(stack: str) -> str:
    """The line of a commit's message that says: the change may replace or delete the data of this stack."""
    return f"Deletes-Data: {stack}"


def commit_that_intends(stack: str, base: str, folder: Path | None = None) -> str:
    """The last commit after a base whose message has that line; "" if none has it.

    It is a line of its own and no trailer in git's sense: when GitHub squashes a pull request, the messages of its
    commits follow one another, with a star before each.

    Raises:
        ValueError: There is no such base.
    """
    line = re.compile(rf"^(\* )?{re.escape(line_that_intends(stack))}\s*$", flags=re.MULTILINE)
    for commit in _git(base, "log", "-z", "--format=%h%n%B", f"{base}..HEAD", "--", folder=folder).split("\0"):
        name, _, message = commit.partition("\n")
        if line.search(message):
            return name
    return ""


def _git(base: str, *command: str, folder: Path | None) -> str:
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"base is {base}: must be a commit of this clone; {done.stderr.splitlines()[0]}")
    return done.stdout
