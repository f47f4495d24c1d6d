"""The workflows, by the linter actionlint, which is built with Go. `make check` has the linter zizmor."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.recorder import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The linter, built from its Go module. The caches of the build are deleted afterwards."""
    folder = tmp_path_factory.mktemp("actionlint")
    env = os.environ | {"GOCACHE": f"{folder}/build", "GOMODCACHE": f"{folder}/modules", "GOFLAGS": "-modcacherw"}
    build = ["go", "build", "-o", str(folder / "actionlint"), "github.com/rhysd/actionlint/cmd/actionlint"]
    subprocess.run(build, cwd=Path(__file__).parent, env=env, check=True)
    yield folder / "actionlint"
    shutil.rmtree(folder)


def test_actionlint_finds_nothing(actionlint: Path) -> None:
    done = subprocess.run([actionlint, *map(str, WORKFLOWS)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_finds_a_mistake_in_an_expression(actionlint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(
        (ROOT / ".github/workflows/stack.yml").read_text().replace("inputs.command ==", "inputs.comand ==")
    )
    done = subprocess.run([actionlint, broken], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '"comand" is not defined' in done.stdout
