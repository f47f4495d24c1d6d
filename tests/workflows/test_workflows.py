"""The workflows, by two linters, and the promises that no linter knows.

They run on GitHub only: that they do what they say, nothing here can prove. What they call is tested elsewhere.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from review.__main__ import main
from tests.harness.recorder import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def load(name: str) -> dict[Any, Any]:
    """A workflow; its key `on` is read as True, as YAML 1.1 has it."""
    parsed: dict[Any, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    return parsed


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The linter, built from its Go module; what was needed for that is gone afterwards."""
    folder = tmp_path_factory.mktemp("actionlint")
    env = os.environ | {"GOCACHE": f"{folder}/build", "GOMODCACHE": f"{folder}/modules", "GOFLAGS": "-modcacherw"}
    build = ["go", "build", "-o", str(folder / "actionlint"), "github.com/rhysd/actionlint/cmd/actionlint"]
    subprocess.run(build, cwd=Path(__file__).parent, env=env, check=True)
    yield folder / "actionlint"
    shutil.rmtree(folder)


def test_actionlint_finds_nothing(actionlint: Path) -> None:
    done = subprocess.run([actionlint, *map(str, WORKFLOWS)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_would_find_a_mistake(actionlint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(
        (ROOT / ".github/workflows/stack.yml").read_text().replace("inputs.command ==", "inputs.comand ==")
    )
    done = subprocess.run([actionlint, broken], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '"comand" is not defined' in done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_commit_and_says_which_version_that_is(file: Path) -> None:
    for used in re.findall(r"uses: (.*)", file.read_text()):
        assert used.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_nobody_has_a_right_that_the_job_does_not_name(file: Path) -> None:
    workflow = load(file.stem)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        allowed = {"contents": "read", "id-token": "write", "pull-requests": "write"}
        assert job["permissions"].items() <= allowed.items()


def test_a_pull_request_runs_with_the_rights_of_the_one_who_made_it() -> None:
    assert set(load("preview")[True]) == {"pull_request"}


def test_forks_are_skipped_where_a_stack_is_needed_and_nowhere_else() -> None:
    jobs = load("preview")["jobs"]
    assert "head.repo.full_name == github.repository" in jobs["stack"]["if"]
    assert "if" not in jobs["check"]
    assert "cancelled" in jobs["comment"]["if"]


def test_a_preview_is_cancelled_by_the_next_one_and_an_up_never() -> None:
    assert load("preview")["concurrency"]["cancel-in-progress"] is True
    for name, group in (("up", "stack"), ("drift", "drift")):
        concurrency = load(name)["jobs"]["stack"]["concurrency"]
        # Each has a group of its own: what waits for an approval must hold up nothing else.
        assert concurrency == {"group": f"{group}-${{{{ matrix.stack }}}}", "cancel-in-progress": False}


def test_an_up_waits_for_the_approval_of_its_own_environment() -> None:
    assert load("up")["jobs"]["stack"]["with"]["environment"] == "${{ matrix.stack }}"
    for name in ("preview", "drift"):
        assert load(name)["jobs"]["stack"]["with"]["environment"] == "preview-${{ matrix.stack }}"


@pytest.mark.parametrize("name", ["preview", "up", "drift"])
def test_every_secret_that_a_stack_needs_is_handed_over_by_its_name(name: str) -> None:
    """A called workflow sees no secret of its environment that its caller did not name."""
    wanted = load("stack")[True]["workflow_call"]["secrets"]
    used = set(re.findall(r"secrets\.(\w+)", (ROOT / ".github/workflows/stack.yml").read_text()))
    assert used == wanted.keys()
    assert load(name)["jobs"]["stack"]["secrets"] == {each: f"${{{{ secrets.{each} }}}}" for each in used}


@pytest.mark.parametrize("command", ["preview", "drift", "comment"])
def test_the_commands_that_they_call_are_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    called = "\n".join(file.read_text() for file in WORKFLOWS)
    assert f"-m review {command}" in called
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    calls = re.findall(rf"-m review {command}([^\n|>]*)", called)
    options = {option for call in calls for option in re.findall(r"--[a-z]+", call)}
    assert options <= set(re.findall(r"--[a-z]+", capsys.readouterr().out))
