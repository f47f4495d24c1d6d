"""The program takes over a stack that an old version deployed: it replaces nothing, loses no score, and can destroy it.

The old version is that of a commit of this repository, so the test needs its history. It runs with the packages of
today.
"""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.harness.program import Program
from tools.recorder import ROOT

# The last commit before the files moved into packages; its settings lie at the top level, and MongoDB in one file.
OLD = "815ad03"
# What the program is made of, then and now.
_PARTS = ("__main__.py", "Pulumi.yaml", "components", "policy", "stack")
_OLD_PARTS = ("settings.py", "targets.py", "images.py", "cluster.py", "preflight.py")


class Upgraded(Program):
    """A stack whose program is the old one at first."""

    def install_old(self) -> None:
        """Puts the old program into the project's folder."""
        self._remove()
        archive = ["git", "archive", OLD, "__main__.py", "Pulumi.yaml", "components", "policy", *_OLD_PARTS]
        done = subprocess.run(archive, cwd=ROOT, capture_output=True, check=True)
        with tarfile.open(fileobj=BytesIO(done.stdout)) as tar:
            tar.extractall(self.folder, filter="data")

    def install_new(self) -> None:
        """Puts today's program there instead."""
        self._remove()
        for part in _PARTS:
            subprocess.run(["cp", "-r", str(ROOT / part), str(self.folder)], check=True)

    def _remove(self) -> None:
        paths = [str(Path(self.folder, part)) for part in (*_PARTS, *_OLD_PARTS)]
        subprocess.run(["rm", "-rf", *paths], check=True)


@pytest.fixture
def upgraded() -> Upgraded:
    return Upgraded()


def test_up_takes_over_an_old_stack_and_replaces_nothing_but_the_finished_job(upgraded: Upgraded) -> None:
    with upgraded as program:
        program.install_old()
        program.up().ok()
        assert program.game.save("of-before", 1200)
        claims = program.kubectl.live("pvc", "data-mongo-0")["metadata"]["uid"]

        program.install_new()
        taken = program.up().ok()
        assert {step.name for step in taken.steps if "replace" in step.op} == {"mongo-init"}
        assert "delete" not in taken.changes
        assert "of-before" in program.scores()
        assert program.game.save("of-after", 1300)
        assert program.kubectl.live("pvc", "data-mongo-0")["metadata"]["uid"] == claims
        program.up("--refresh", "--expect-no-changes").ok()
        program.destroy().ok()
        assert program.resources() == {}
        assert program.kubectl.get("namespace", program.namespace) is None


def test_an_old_stack_can_be_refreshed_and_destroyed_without_an_up(upgraded: Upgraded) -> None:
    """Its state names classes of dynamic providers in modules of that time."""
    with upgraded as program:
        program.install_old()
        program.up().ok()
        program.install_new()
        program.refresh().ok()
        program.destroy().ok()
        assert program.resources() == {}
