"""Drives the real `pulumi` on a project of its own, and gives back what it did as plain data.

The project, its backend and its passphrase lie in a temporary folder; the CLI, its plugins and the cluster are those of
the environment (PATH, PULUMI_HOME, KUBECONFIG), as `eval "$(make -s env)"` sets it. What the CLI did is read from its
event log, not from what it prints. Whatever a test leaves behind is ended and destroyed with the stack, also when the
test fails.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pulumi.automation.events import EngineEvent, StepEventMetadata

# The CLI hides --event-log unless this is set.
EVENT_LOG = {"PULUMI_DEBUG_COMMANDS": "true"}
# What the person has set for stacks of their own.
_NOT_THEIRS = ("PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_STACK", "PULUMI_CONFIG", "PULUMI_K8S_")
# The engine's mark of a secret in a state.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
_SECONDS = 300.0
_SECONDS_TO_END = 30.0


@dataclass(frozen=True)
class Step:
    """What the engine did, or would do, to one resource."""

    op: str
    """The engine's word: same, create, update, replace, create-replacement, delete-replaced, delete, refresh, import,
    …"""
    urn: str
    diff: Mapping[str, str]
    """The changed properties and what happens to each (add, update-replace, …), as the provider's Diff says."""
    done: bool
    """Whether it went through; always false in a preview, where nothing is done."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class Diagnostic:
    """A message of the engine or a provider."""

    severity: str
    text: str
    urn: str
    ephemeral: bool
    """Whether it is a line of progress."""

    @property
    def name(self) -> str:
        """The name of the resource that it is about; empty where it is about none."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class Result:
    """What one command did."""

    exit_code: int
    printed: str = field(repr=False)
    steps: Sequence[Step]
    failed: frozenset[str]
    """Names of the resources that failed."""
    diagnostics: Sequence[Diagnostic] = field(repr=False)
    changes: Mapping[str, int]
    """How many resources were the same, created, …, as the summary counts them."""

    def op(self, name: str) -> str:
        """What happened to a resource, `replace` for all parts of a replacement; empty if nothing did."""
        ops = [step.op for step in self.steps if step.name == name]
        return "replace" if "replace" in ops else ops[-1] if ops else ""

    def ops(self, name: str) -> list[str]:
        """Everything that happened to a resource, in order."""
        return [step.op for step in self.steps if step.name == name]

    def errors(self, name: str = "") -> str:
        """All errors as one text, or those of one resource; what the CLI printed where there are none."""
        errors = [each for each in self.diagnostics if each.severity == "error"]
        return "\n".join(each.text for each in errors if not name or each.name == name) or self.printed

    def causes(self) -> list[str]:
        """The lines of all errors, but for the one by which the engine says that a part of the stack failed."""
        lines = [line.strip() for line in self.errors().splitlines()]
        return [line for line in lines if line not in ("", "update failed", "preview failed")]

    def warnings(self) -> str:
        """All warnings as one text."""
        return "\n".join(each.text for each in self.diagnostics if each.severity == "warning")

    def ok(self) -> Self:
        """Itself, if the command went well.

        Raises:
            AssertionError: It did not; the message is what it printed.
        """
        assert self.exit_code == 0, f"exit code {self.exit_code}\n{self.printed}"
        return self


class Running:
    """A command that has been started."""

    def __init__(self, process: subprocess.Popen[str], log: Path, output: Path) -> None:
        self._process = process
        self._log = log
        self._output = output

    def wait_for(self, seen: Callable[[Diagnostic], bool], seconds: float = 60) -> None:
        """Waits until a message comes up.

        Raises:
            AssertionError: It does not, in that time or before the command ends.
        """
        end = time.monotonic() + seconds
        while not any(map(seen, _diagnostics(read_events(self._log)))):
            assert self._process.poll() is None, f"ended before the message came\n{self._output.read_text()}"
            assert time.monotonic() < end, f"no such message in {seconds} s\n{self._output.read_text()}"
            time.sleep(0.05)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal as a terminal does: to the command and to all that it has not put into a group of its own."""
        os.killpg(self._process.pid, number)

    def processes(self) -> set[int]:
        """The command's process, those that it has started (plugins), and those that they have (the program)."""
        found, new = set[int](), {self._process.pid}
        while new:
            found |= new
            new = {child for pid in new for child in _children(pid)} - found
        return found

    def finish(self, seconds: float = _SECONDS) -> Result:
        """Waits for the end.

        Raises:
            AssertionError: It does not end in that time; it is killed then.
        """
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"not finished after {seconds} s\n{self._output.read_text()}") from None
        return _result(code, self._output.read_text(), read_events(self._log))

    def end(self) -> None:
        """Ends the command if it still runs: first so that it can note down what it has done, then by force."""
        if self._process.poll() is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Engine:
    """A project with one stack. Use it with `with`: at the end, everything that the stack has is destroyed.

    Args:
        program: The text of a Python program, or a folder that has a project (it is copied).
        config: The stack's config; keys without a namespace are the project's.
        env: Environment variables to set on top of this process's own.
        stack: The stack's name. A folder's own Pulumi.<stack>.yaml is used, if it has one.
    """

    def __init__(
        self,
        program: str | Path,
        *,
        config: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        stack: str = "test",
    ) -> None:
        self._program = program
        self._config = dict(config or {})
        self._stack = stack
        self._root = Path(tempfile.mkdtemp(prefix="pulumi-test-"))
        self.folder = self._root / "project"
        self.backend = self._root / "backend"
        """Where the states are."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_THEIRS)}
        self.env = own | {
            "PULUMI_BACKEND_URL": f"file://{self.backend}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._root / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "NO_COLOR": "1",
            **EVENT_LOG,
            **(env or {}),
        }
        self._commands: list[Running] = []

    def __enter__(self) -> Self:
        self.backend.mkdir()
        (self._root / "passphrase").write_text("for tests only")
        try:
            self._write_project()
            self.run("stack", "init", self._stack)
            self.configure(self._config)
        except BaseException:
            shutil.rmtree(self._root, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left = ""
        try:
            for command in self._commands:
                command.end()
            if self._has_something() and self._destroy():
                # A command that was killed leaves the stack locked; an import protects what it imports.
                self.run("cancel", "--yes", check=False)
                self.run("state", "unprotect", "--all", "--yes", check=False)
                said = self._destroy("--refresh", "--continue-on-error")
                left = f"the stack could not be destroyed\n{said}" if said else ""
        finally:
            shutil.rmtree(self._root, ignore_errors=True)
        if left and error is None:
            raise AssertionError(left)
        if left and error is not None:
            error.add_note(left)

    def _destroy(self, *options: str) -> str:
        """Destroys the stack; returns what was said if something is left."""
        try:
            done = self.destroy(*options)
        except AssertionError as late:  # it was killed
            return str(late)
        return done.printed if done.exit_code else ""

    # --- The project ---

    def write(self, program: str) -> None:
        """Replaces the program."""
        (self.folder / "__main__.py").write_text(program)

    def edit(self, old: str, new: str) -> None:
        """Replaces a piece of the program, which must be there."""
        file = self.folder / "__main__.py"
        text = file.read_text()
        assert old in text, f"the program has no {old}"
        file.write_text(text.replace(old, new))

    def configure(self, config: Mapping[str, str]) -> None:
        """Sets config values of the stack; none of them is secret."""
        for key, value in config.items():
            self.run("config", "set", key, "--", value)

    # --- Commands ---

    def up(self, *options: str) -> Result:
        """`pulumi up`, without the preview."""
        return self.start("up", "--yes", "--skip-preview", *options).finish()

    def preview(self, *options: str) -> Result:
        """`pulumi preview`."""
        return self.start("preview", *options).finish()

    def refresh(self, *options: str) -> Result:
        """`pulumi refresh`, without the preview."""
        return self.start("refresh", "--yes", "--skip-preview", *options).finish()

    def destroy(self, *options: str) -> Result:
        """`pulumi destroy`, without the preview."""
        return self.start("destroy", "--yes", "--skip-preview", *options).finish()

    def start(self, command: str, *options: str) -> Running:
        """Starts a command without waiting for it."""
        log, output = (self._root / f"{len(self._commands)}-{command}.{suffix}" for suffix in ("events", "txt"))
        with output.open("w") as stream:
            process = subprocess.Popen(
                ["pulumi", command, "--non-interactive", "--stack", self._stack, *options, "--event-log", str(log)],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                process_group=0,
            )
        running = Running(process, log, output)
        self._commands.append(running)
        return running

    def run(self, *arguments: str, check: bool = True) -> str:
        """Any other command of the CLI; returns what it printed to stdout.

        Raises:
            AssertionError: It failed, and that was not allowed.
        """
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"pulumi {arguments[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    # --- What the stack has ---

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in plain."""
        values: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--show-secrets"))
        return values

    def state(self) -> dict[str, Any]:
        """The stack's state as it is stored: secrets are encrypted in it."""
        state: dict[str, Any] = json.loads(self.run("stack", "export", "--stack", self._stack))
        return state

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources of the state by their names, without providers and the stack itself."""
        found = self.state()["deployment"].get("resources") or []
        return {
            each["urn"].rpartition("::")[2]: each
            for each in found
            if not each["type"].startswith(("pulumi:providers:", "pulumi:pulumi:"))
        }

    def _has_something(self) -> bool:
        deployment = self.state()["deployment"] if self._commands else {}
        return bool(deployment.get("resources") or deployment.get("pending_operations"))

    def _write_project(self) -> None:
        if isinstance(self._program, Path):
            ignored = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "tests", "sandbox")
            shutil.copytree(self._program, self.folder, ignore=ignored)
            (self.folder / ".venv").symlink_to(sys.prefix)
            return
        self.folder.mkdir()
        options = {"toolchain": "pip", "virtualenv": sys.prefix}
        project = {"name": "harness", "runtime": {"name": "python", "options": options}}
        (self.folder / "Pulumi.yaml").write_text(json.dumps(project))
        self.write(self._program)


def is_secret(value: object) -> bool:
    """Whether a value of a state is secret, and so encrypted."""
    return isinstance(value, dict) and value.get(_SIGNATURE) == _SECRET


def alive(processes: Iterable[int]) -> set[int]:
    """Those of some processes that still run."""
    return {
        pid for pid in processes if (stat := _read(f"/proc/{pid}/stat")) and stat.rpartition(")")[2].split()[0] != "Z"
    }


def _children(pid: int) -> set[int]:
    return {int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in _read(task).split()}


def _read(path: str | Path) -> str:
    """A file of /proc, empty where its process has gone."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def read_events(log: Path) -> list[EngineEvent]:
    """What an --event-log has so far; its last line may be half written."""
    if not log.exists():
        return []
    return [
        EngineEvent.from_json(json.loads(line)) for line in log.read_text(errors="replace").split("\n")[:-1] if line
    ]


def _diagnostics(events: Sequence[EngineEvent]) -> list[Diagnostic]:
    found = [event.diagnostic_event for event in events if event.diagnostic_event]
    return [
        Diagnostic(each.severity, each.message.strip(), each.urn or "", bool(each.ephemeral))
        for each in found
        if each.severity != "debug"
    ]


def _result(code: int, printed: str, events: Sequence[EngineEvent]) -> Result:
    done = {_key(event.res_outputs_event.metadata) for event in events if event.res_outputs_event}
    steps = [
        Step(
            op=meta.op.value,
            urn=meta.urn,
            diff={path: each.diff_kind.value for path, each in (meta.detailed_diff or {}).items()},
            done=_key(meta) in done,
        )
        for meta in (event.resource_pre_event.metadata for event in events if event.resource_pre_event)
    ]
    failed = {event.res_op_failed_event.metadata.urn for event in events if event.res_op_failed_event}
    summaries = [event.summary_event.resource_changes for event in events if event.summary_event]
    return Result(
        exit_code=code,
        printed=printed,
        steps=steps,
        failed=frozenset(urn.rpartition("::")[2] for urn in failed),
        diagnostics=_diagnostics(events),
        changes={str(op): count for op, count in summaries[-1].items()} if summaries else {},
    )


def _key(meta: StepEventMetadata) -> tuple[str, str]:
    return meta.op.value, meta.urn
