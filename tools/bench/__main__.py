"""The command line: `python -m tools.bench`. RUNS, ONLY and COLD come from the environment, as `make bench` sets it."""

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sandbox import build, node
from sandbox.places import CHECKOUT, STATE, SandboxError
from tools.bench import report as reports
from tools.bench.figures import Report, Row, Section
from tools.bench.load_sections import pods, throughput
from tools.bench.rig import FOLDER, Cluster, say, uninterrupted
from tools.bench.sandbox_section import cold, up_and_down
from tools.bench.stack_sections import change, deploy, idle
from tools.measuring import MeasuringError, chosen, commit_of, number_of_runs, refuse_other_stacks, this_machine, today

Measured: TypeAlias = list[Row] | tuple[list[Row], list[str]]
"""Rows, or rows with notes."""

_SECTIONS: Final[Mapping[str, Callable[[Cluster, int], Measured]]] = {
    "deploy": deploy,
    "idle": idle,
    "change": change,
    "throughput": throughput,
    "pods": pods,
    "sandbox": lambda _, runs: up_and_down(runs),
    "cold": lambda _, runs: cold(runs),
}
_FIGURES: Final = CHECKOUT / "docs/performance.json"
_PAGE: Final = CHECKOUT / "docs/performance.md"
_PLOT: Final = CHECKOUT / "docs/performance.svg"


@dataclass(frozen=True)
class Settings:
    """What a run of the bench measures."""

    runs: int
    """How often."""
    sections: Sequence[str]
    """What, in that order."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Settings":
        """Reads RUNS, ONLY and COLD.

        Raises:
            MeasuringError: A value is not allowed.
        """
        refuse_other_stacks(env)
        with_cold = env.get("COLD") or "0"
        if with_cold not in ("0", "1"):
            raise MeasuringError(f"COLD is {with_cold}: must be 1, or 0 for no build from nothing")
        wanted = {*(chosen(env, _SECTIONS) or set(_SECTIONS) - {"cold"}), *(["cold"] if with_cold == "1" else [])}
        return cls(number_of_runs(env), [name for name in _SECTIONS if name in wanted])


def main() -> None:
    """Measures, and writes the report after each section, so that a later failure does not lose it."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        settings = Settings.read(os.environ)
        report = Report.read(_FIGURES)
        with _alone():
            for name in settings.sections:
                say(f"{reports.SECTIONS[name][0]}:")
                report = report.with_section(_measure(name, settings.runs))
                _write(report)
        print(reports.table(report, settings.sections))
        say(f"\nWritten: {_PAGE.relative_to(CHECKOUT)}")
    except (MeasuringError, SandboxError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted: the sections that had ended are in docs/performance.md", file=sys.stderr)
        raise SystemExit(130) from None


def _measure(name: str, runs: int) -> Section:
    """Runs one section on a cluster without anything of the bench, and leaves it so."""
    _check_sandbox()
    commit, when = commit_of(CHECKOUT), today()
    with _clean(Cluster()) as cluster:
        measured = _SECTIONS[name](cluster, runs)
    rows, notes = measured if isinstance(measured, tuple) else (measured, [])
    done = max(len(row.ours) for row in rows)
    return Section(name, rows, done, when, commit, this_machine(), notes)


@contextlib.contextmanager
def _clean(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster and a folder without anything of the bench, before and after."""
    cluster.refuse_foreign_namespace()
    build.remove(FOLDER)
    FOLDER.mkdir(mode=0o700)
    try:
        with cluster.reserved_host():
            yield cluster
    finally:
        with uninterrupted():
            try:
                cluster.clear()
            finally:
                build.remove(FOLDER)


def _check_sandbox() -> None:
    if os.geteuid() != 0:
        raise MeasuringError('the sandbox needs root: `sudo -E env "PATH=$PATH" bash` opens a shell for it')
    running = [each.name for each in node.ALL if each.pid() is not None]
    if node.FIRST.name not in running:
        raise MeasuringError("the sandbox does not run: make up")
    if not node.FIRST.is_current:
        raise MeasuringError("the sandbox runs versions that are not those of this checkout: make up")
    if len(running) > 1:
        raise MeasuringError(f"the sandbox has {len(running)} nodes, and the bench measures one: make up NODES=1")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keeps a second bench of this checkout from starting."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    with (STATE / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MeasuringError("another bench is running: wait for its end") from None
        yield


def _write(report: Report) -> None:
    report.write(_FIGURES)
    reports.plot(report, _PLOT)
    _PAGE.write_text(reports.markdown(report, _PLOT.name))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
