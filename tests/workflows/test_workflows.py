"""The workflows, by evaluating their expressions, and by running their scripts.

They run on GitHub only, so nothing here can prove that a whole run does what it says, or that Renovate reads its
config. tests/unit/test_review.py and tests/engine/test_review.py test what the workflows call.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from review.__main__ import main
from review.preview import Preview
from tests.workflows.expressions import evaluate, render
from tools.recorder import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
REVIEW = sorted((ROOT / "review").glob("*.py"))
RENOVATE = json.loads((ROOT / ".github/renovate.json").read_text())
STACKS = '["acme/prod", "eks"]'

every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
every_file = pytest.mark.parametrize(
    "file", [*WORKFLOWS, *ACTIONS], ids=lambda file: str(file.relative_to(ROOT / ".github"))
)


def read(file: Path) -> dict[Any, Any]:
    """A workflow or an action. The key `on` of a workflow is read as True, as YAML 1.1 has it."""
    parsed: dict[Any, Any] = yaml.safe_load(file.read_text())
    return parsed


def load(name: str) -> dict[Any, Any]:
    """The workflow or action of a name."""
    (file,) = [
        *(each for each in WORKFLOWS if each.stem == name),
        *(each for each in ACTIONS if each.parent.name == name),
    ]
    return read(file)


def steps_of(parsed: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """All steps of a workflow or action."""
    return [step for job in parsed.get("jobs", {"": parsed.get("runs")}).values() for step in job.get("steps", [])]


def steps(of: str, name: str = "") -> list[dict[str, Any]]:
    """All steps of the workflow or action `of`, or those whose name begins with `name`."""
    return [step for step in steps_of(load(of)) if step.get("name", "").startswith(name)]


def is_for(step: Mapping[str, Any], command: str) -> bool:
    """Whether a step of stack.yml runs for a command, on a cluster of no cloud."""
    return bool(evaluate(str(step.get("if", "true")), {"inputs": {"command": command}, "vars": {}}))


def github(
    head: str = "we/pacman", author: str = "member", actor: str = "member", ref: str = "refs/heads/main"
) -> dict[str, Any]:
    """The contexts of a run."""
    pull_request = {"number": 7, "head": {"repo": {"full_name": head}}, "user": {"login": author}}
    event = {"pull_request": pull_request}
    return {
        "github": {"repository": "we/pacman", "actor": actor, "ref": ref, "event": event},
        "vars": {"STACKS": STACKS},
    }


def runs_of_stack(workflow: str, contexts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The inputs of stack.yml in every job of a run, through all workflows that call it."""
    for job in load(workflow)["jobs"].values():
        called = Path(job.get("uses", "")).stem
        for values in matrix(job, contexts) if called else ():
            inputs = render(job["with"], {**contexts, "matrix": values})
            if called == "stack":
                yield inputs
            else:
                yield from runs_of_stack(called, {**contexts, "inputs": inputs})


def matrix(job: Mapping[str, Any], contexts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `matrix` is in each copy of a job."""
    declared = render(job.get("strategy", {}).get("matrix", {}), contexts)
    return [{"stack": stack} for stack in declared["stack"]] if declared else [{}]


def pins(requirements: str) -> dict[str, str]:
    """The packages of a requirements file that have an exact version."""
    return dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / requirements).read_text(), flags=re.MULTILINE))


def cli_version() -> str:
    """The version of the Pulumi CLI that the sandbox builds."""
    text = (ROOT / "sandbox/toolchain/pulumi/go.mod").read_text()
    (version,) = set(re.findall(r"github\.com/pulumi/pulumi/pkg/v3 v([\d.]+)", text))
    return str(version)


class Machine:
    """A folder in which the scripts of steps run as on GitHub's machine, with stand-ins for the programs they call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, program: str, script: str) -> None:
        """Puts a shell script in the place of a program."""
        file = self.folder / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/bash -eu\n{script}\n")
        file.chmod(0o755)

    def run(self, name: str, of: str = "stack", **env: str) -> subprocess.CompletedProcess[str]:
        """Runs the first step of a workflow or action whose name begins so."""
        step = steps(of, name)[0]
        script = self.folder / "script"
        script.write_text(step["run"])
        # An action has no defaults, so each of its steps names a shell.
        shell = (step.get("shell") or load(of)["defaults"]["run"]["shell"]).format(script).split()
        given = {"GITHUB_OUTPUT": f"{self.folder}/output", "GITHUB_STEP_SUMMARY": f"{self.folder}/summary"}
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        all_env = {"PATH": path, **given, **env}
        return subprocess.run(shell, cwd=self.folder, env=all_env, capture_output=True, text=True, check=False)

    @property
    def output(self) -> str:
        """What the steps wrote to GITHUB_OUTPUT."""
        return self._text("output")

    @property
    def summary(self) -> str:
        """What the steps wrote to GITHUB_STEP_SUMMARY."""
        return self._text("summary")

    def _text(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@every_file
def test_every_action_is_pinned_by_commit_and_names_its_version(file: Path) -> None:
    for used in re.findall(r"uses: (.*)", file.read_text()):
        assert used.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used


@every_file
def test_no_script_holds_an_expression(file: Path) -> None:
    """A title or a branch name would become part of the script. As an environment variable it stays data."""
    for step in steps_of(read(file)):
        assert "${{" not in step.get("run", ""), step


@every_workflow
def test_a_job_has_only_the_permissions_that_it_names(file: Path) -> None:
    workflow = load(file.stem)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        allowed = {"contents": "read"}
        if "stack" in job.get("with", {}) or file.stem == "stack":
            allowed["id-token"] = "write"
        if (file.stem, name) == ("preview", "comment"):
            allowed["pull-requests"] = "write"
        assert job["permissions"].items() <= allowed.items(), name


def test_a_pull_request_runs_with_the_rights_of_its_author() -> None:
    assert set(load("preview")[True]) == {"pull_request"}


def test_the_header_of_the_preview_begins_with_the_warning_about_secrets() -> None:
    header = (ROOT / ".github/workflows/preview.yml").read_text()
    assert header.startswith("# WARNING: anyone who can push a branch to this repository can read the secrets of every")


# --- Which stacks a run is about ---


@pytest.mark.parametrize("stack", ["prod", "acme/prod", "acme/pacman/prod"])
@pytest.mark.parametrize(
    ("workflow", "environments"),
    [("preview", ["preview-{}"]), ("drift", ["drift-{}"]), ("up", ["drift-{}", "{}"])],
)
def test_a_stack_has_environments_of_its_whole_name(workflow: str, environments: list[str], stack: str) -> None:
    runs = runs_of_stack(workflow, github() | {"vars": {"STACKS": json.dumps(["other", stack])}})
    mine = [run for run in runs if run["stack"] == stack]
    assert [run["environment"] for run in mine] == [each.format(stack) for each in environments]


@pytest.mark.parametrize("stacks", ["", "[]"])
@pytest.mark.parametrize("workflow", ["preview", "drift", "up"])
def test_without_stacks_no_stack_runs_and_the_matrix_is_not_empty(workflow: str, stacks: str) -> None:
    contexts = github() | {"vars": {"STACKS": stacks}}
    job = load(workflow)["jobs"]["stack"]
    assert not evaluate(job["if"], contexts)
    assert render(job["strategy"]["matrix"], contexts)["stack"]


@pytest.mark.parametrize(
    ("contexts", "may_see_secrets"),
    [
        ({}, True),
        ({"head": "fork/pacman"}, False),
        ({"author": "dependabot[bot]", "actor": "dependabot[bot]"}, False),
        # Somebody pushes to Dependabot's branch, or Dependabot to somebody's.
        ({"author": "dependabot[bot]"}, False),
        ({"actor": "dependabot[bot]"}, False),
    ],
    ids=["a member", "a fork", "Dependabot", "a member on Dependabot's", "Dependabot on a member's"],
)
def test_a_fork_and_dependabot_get_the_manifests_on_the_page_of_the_run(
    contexts: dict[str, str], may_see_secrets: bool
) -> None:
    pull_request = github(**contexts)
    jobs = load("preview")["jobs"]
    assert bool(evaluate(jobs["stack"]["if"], pull_request)) is may_see_secrets
    needs = {"stack": {"result": "success" if may_see_secrets else "skipped"}}
    told = render(jobs["comment"]["env"], pull_request | {"needs": needs})
    assert told["POST"].strip() == ("--post" if may_see_secrets else "")
    assert told["STACKS"] == (STACKS if may_see_secrets else "[]")
    assert evaluate(jobs["comment"]["if"], pull_request | {"cancelled": False})
    assert "if" not in jobs["check"]


@pytest.mark.parametrize("workflow", ["drift", "up"])
@pytest.mark.parametrize(("ref", "runs"), [("refs/heads/main", True), ("refs/heads/topic", False)])
def test_only_main_runs_with_the_secrets_of_drift_and_up(workflow: str, ref: str, runs: bool) -> None:
    assert bool(evaluate(load(workflow)["jobs"]["stack"]["if"], github(ref=ref))) is runs


def test_a_preview_is_cancelled_by_the_next_one_and_an_up_never() -> None:
    assert load("preview")["concurrency"]["cancel-in-progress"] is True
    for name, group in (("up", "stack"), ("drift", "drift")):
        concurrency = load(name)["jobs"]["stack"]["concurrency"]
        # An `up` that waits for its approval must not hold up the drift.
        assert concurrency == {"group": f"{group}-${{{{ matrix.stack }}}}", "cancel-in-progress": False}


# --- Secrets ---


@pytest.mark.parametrize("name", ["preview", "drift", "up", "deploy"])
def test_every_secret_that_a_stack_needs_is_handed_over_by_its_name(name: str) -> None:
    """A called workflow sees no secret of its environment that its caller did not name."""
    wanted = load("stack")[True]["workflow_call"]["secrets"]
    used = set(re.findall(r"secrets\.(\w+)", (ROOT / ".github/workflows/stack.yml").read_text()))
    assert used == wanted.keys()
    for job in load(name)["jobs"].values():
        if "stack" in job.get("with", {}):
            assert job["secrets"] == {each: f"${{{{ secrets.{each} }}}}" for each in used}


@every_workflow
def test_only_steps_that_run_pulumi_see_its_secrets(file: Path) -> None:
    workflow = load(file.stem)
    assert "secrets" not in str(workflow.get("env"))
    for job in workflow["jobs"].values():
        assert "secrets" not in str(job.get("env"))
        for step in job.get("steps", []):
            needs_state = re.search(r"pulumi (config get|up)|-m review (preview|drift)", step.get("run", ""))
            assert ("secrets." in str(step)) == bool(needs_state), step


def test_the_job_of_a_stack_installs_what_the_program_needs_and_no_development_packages() -> None:
    installs = [step["run"] for step in steps("stack") if "make" in step.get("run", "")]
    assert installs == ["make .venv/ready"]
    (needed,) = re.findall(r"^\.venv/ready: (.*)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert needed == "requirements.txt"


def test_the_job_that_comments_needs_no_installed_package() -> None:
    imported = re.findall(r"^(?:from|import) (\w+)", "\n".join(map(Path.read_text, REVIEW)), flags=re.MULTILINE)
    assert set(imported) <= {"review"} | sys.stdlib_module_names


# --- The scripts ---


@every_workflow
def test_every_script_runs_in_a_shell_that_stops_at_the_first_failure(file: Path) -> None:
    scripts = [step for step in steps(file.stem) if "run" in step]
    assert all("shell" not in step for step in scripts)
    if scripts:
        assert load(file.stem)["defaults"]["run"]["shell"] == "bash --noprofile --norc -euo pipefail {0}"


@every_workflow
def test_no_script_hides_the_failure_of_a_command_in_an_echo(file: Path) -> None:
    for step in steps(file.stem):
        assert not re.search(r"echo[^\n]*\$\(", step.get("run", "")), step


@pytest.mark.parametrize("name", ["Preview the stack", "Preview the stack again, and compare", "Look for drift"])
def test_a_review_that_fails_fails_its_step_though_tee_goes_well(name: str, machine: Machine) -> None:
    machine.install(".venv/bin/python", "echo all that it found; exit 1")
    done = machine.run(name, STACK="acme/prod", FILE="acme+prod")
    assert done.returncode == 1
    assert machine.summary == "all that it found\n"


def test_a_context_that_cannot_be_read_fails_the_step_and_is_no_output(machine: Machine) -> None:
    machine.install("bin/pulumi", "exit 6")
    assert machine.run("Find the stack's context", STACK="acme/prod").returncode == 6
    assert machine.output == ""


def test_the_context_of_a_stack_is_an_output(machine: Machine) -> None:
    machine.install("bin/pulumi", 'test "$*" = "config get context --stack acme/prod"; echo pacman-eks')
    assert machine.run("Find the stack's context", STACK="acme/prod").returncode == 0
    assert machine.output == "context=pacman-eks\n"


@pytest.mark.parametrize(("stack", "file"), [("prod", "prod"), ("acme/prod", "acme+prod"), ("a/b/c", "a+b+c")])
def test_files_and_artifacts_of_a_stack_have_no_slash(stack: str, file: str, machine: Machine) -> None:
    assert machine.run("Find a file name for the stack", STACK=stack).returncode == 0
    assert machine.output == f"file={file}\n"
    uses = {"download-artifact", "upload-artifact"}
    contexts = {"steps": {"name": {"outputs": {"file": file}}}, "inputs": {"stack": stack}}
    artifacts = [step["with"] for step in steps("stack") if any(each in step.get("uses", "") for each in uses)]
    assert [render(each["name"], contexts) for each in artifacts] == [f"preview-{file}"] * 2
    # GitHub refuses these in the name of an artifact.
    assert not re.search(r'[":<>|*?\r\n\\/]', f"preview-{file}")


def test_the_comment_finds_the_preview_of_a_stack_with_an_organization(machine: Machine) -> None:
    """The job of the stack writes the file, the artifact carries its folder, the job that comments reads it."""
    machine.install(".venv/bin/python", 'mkdir -p "$(dirname "$6")"; cp preview.json "$6"')
    (machine.folder / "preview.json").write_text(Preview("acme/prod", 0, {"same": 31}).to_json())
    assert machine.run("Preview the stack", STACK="acme/prod", FILE="acme+prod").returncode == 0
    machine.install("bin/python", f'cd "{ROOT}"; exec "{sys.executable}" "${{@/#previews/{machine.folder}/previews}}"')
    done = machine.run(
        "Write the comment", of="preview", STACKS='["acme/prod"]', BASE="HEAD", COMMIT="abc", POST="", GITHUB_TOKEN=""
    )
    assert done.returncode == 0, done.stderr
    assert "| `acme/prod` |  |  |  |  | 31 | ok |" in machine.summary
    assert "no preview" not in machine.summary


@pytest.mark.parametrize("stack", ["success", "skipped", "failure", "cancelled"])
@pytest.mark.parametrize("check", ["success", "skipped", "failure", "cancelled"])
@pytest.mark.parametrize("comment", ["success", "failure"])
def test_the_check_that_a_branch_requires_fails_unless_all_others_went_well(
    machine: Machine, check: str, comment: str, stack: str
) -> None:
    """The job of the stacks is skipped for a fork and for Dependabot."""
    job = load("preview")["jobs"]["all"]
    assert set(job["needs"]) == load("preview")["jobs"].keys() - {"all"}
    needs = {name: {"result": result} for name, result in (("check", check), ("comment", comment), ("stack", stack))}
    env = render(job["env"], github() | {"needs": needs})
    done = machine.run("Fail unless all went well", of="preview", **env)
    good = check == comment == "success" and stack in ("success", "skipped")
    assert (done.returncode == 0) is good


# --- What was approved is what is applied ---


def test_an_up_compares_with_the_approved_preview_right_before_it_updates() -> None:
    names = [step.get("name", step.get("uses", "").partition("@")[0]) for step in steps("stack") if is_for(step, "up")]
    assert names[-3:] == [
        "actions/download-artifact",
        "Preview the stack again, and compare with what was approved",
        "Update the stack",
    ]
    assert "--skip-preview" in steps("stack", "Update the stack")[0]["run"]


def test_the_second_preview_is_held_to_the_file_that_the_artifact_brings(machine: Machine) -> None:
    machine.install(".venv/bin/python", 'echo "$*"')
    assert machine.run("Preview the stack again", STACK="acme/prod", FILE="acme+prod").returncode == 0
    assert machine.summary == "-m review preview acme/prod --approved approved/acme+prod.json\n"
    (download,) = (step["with"] for step in steps("stack") if "download-artifact" in step.get("uses", ""))
    assert download["path"] == "approved"


def test_the_preview_to_approve_is_made_before_the_environment_with_reviewers_is_asked() -> None:
    jobs = load("deploy")["jobs"]
    assert jobs["up"]["needs"] == ["preview"]
    assert (jobs["preview"]["with"]["command"], jobs["up"]["with"]["command"]) == ("preview", "up")
    assert "if" not in jobs["up"]


def test_an_approval_may_take_as_long_as_github_waits_and_all_jobs_can_run_again() -> None:
    (upload,) = (step["with"] for step in steps("stack") if "upload-artifact" in step.get("uses", ""))
    assert (upload["retention-days"], upload["overwrite"]) == (30, True)


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_job_that_may_find_a_loss_of_data_has_the_commits_that_may_intend_it(command: str) -> None:
    """The checkout of a pull request is a merge of its base and its commits. By default, it has no history."""
    (checkout,) = (
        step for step in steps("stack") if is_for(step, command) and "actions/checkout" in step.get("uses", "")
    )
    assert checkout["with"]["fetch-depth"] == 0


# --- Versions ---


def test_the_workflows_install_the_cli_that_the_tests_run_with(machine: Machine) -> None:
    for workflow in ("stack", "real"):
        assert "./.github/actions/install-pulumi" in [step.get("uses") for step in steps(workflow)]
    shutil.copytree(ROOT / "sandbox/toolchain/pulumi", machine.folder / "sandbox/toolchain/pulumi")
    assert machine.run("Find the version of the CLI", of="install-pulumi").returncode == 0
    assert machine.output == f"version={cli_version()}\n"
    (install,) = (step["with"] for step in steps("install-pulumi") if "pulumi/actions" in step.get("uses", ""))
    assert install == {"pulumi-version": "${{ steps.cli.outputs.version }}"}


def test_a_go_mod_without_the_cli_fails_instead_of_installing_the_latest_one(machine: Machine) -> None:
    (machine.folder / "sandbox/toolchain/pulumi").mkdir(parents=True)
    (machine.folder / "sandbox/toolchain/pulumi/go.mod").write_text("require example.test/other v1.0.0\n")
    assert machine.run("Find the version of the CLI", of="install-pulumi").returncode == 1
    assert machine.output == ""


def test_the_cli_and_the_sdk_have_one_major_version_and_the_cli_is_not_newer() -> None:
    """The tests run this pair. They cannot be equal: Go's module proxy has no newer module of the CLI."""
    cli, sdk = ([int(part) for part in each.split(".")] for each in (cli_version(), pins("requirements.in")["pulumi"]))
    assert cli[0] == sdk[0]
    assert cli <= sdk


@pytest.mark.parametrize("compiled", ["requirements.txt", "requirements-dev.txt"])
def test_the_compiled_requirements_have_the_versions_of_requirements_in(compiled: str) -> None:
    """Renovate raises requirements.in alone."""
    wanted = pins("requirements.in")
    assert wanted.keys() >= {"pulumi", "pulumi-kubernetes", "pulumi-random", "kubernetes"}
    assert wanted.items() <= pins(compiled).items(), "run `make lock`"


def test_renovate_raises_every_kind_of_pin() -> None:
    managers = {"pip_requirements", "gomod", "npm", "github-actions"}
    assert set(RENOVATE["enabledManagers"]) == managers
    (pattern,) = RENOVATE["pip_requirements"]["managerFilePatterns"]
    assert re.search(pattern.strip("/"), "requirements.in")
    # The recommended preset ignores tests/, where actionlint is pinned.
    assert not any("tests" in path for path in RENOVATE["ignorePaths"])


def test_renovate_raises_every_go_tool_also_where_go_mod_calls_its_module_indirect() -> None:
    allowed = next(rule for rule in RENOVATE["packageRules"] if rule.get("matchDepTypes") == ["indirect"])
    for file in [*ROOT.glob("sandbox/toolchain/*/go.mod"), ROOT / "tests/workflows/go.mod"]:
        text = file.read_text()
        required = dict(re.findall(r"^(?:require )?\s*(\S+) v\S+( // indirect)?$", text, flags=re.MULTILINE))
        blocks = re.findall(r"^tool \((.*?)^\)", text, flags=re.MULTILINE | re.DOTALL)
        tools = " ".join([*blocks, *re.findall(r"^tool ([^(\s]+)", text, flags=re.MULTILINE)]).split()
        for tool in tools:
            module = max((each for each in required if f"{tool}/".startswith(f"{each}/")), key=len, default="")
            own = tool.startswith("pacman/")
            assert own or not required[module] or module in allowed["matchPackageNames"], (file, tool)


# --- What they call ---


@pytest.mark.parametrize("command", ["preview", "drift", "comment"])
def test_the_workflows_call_commands_and_options_that_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    called = "\n".join(file.read_text() for file in WORKFLOWS)
    assert f"-m review {command}" in called
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    calls = re.findall(rf"-m review {command}([^\n|>]*)", called)
    options = {option for call in calls for option in re.findall(r"--[a-z]+", call)}
    assert options <= set(re.findall(r"--[a-z]+", capsys.readouterr().out))
