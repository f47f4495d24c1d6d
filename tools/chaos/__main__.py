"""The command line: `python -m tools.chaos`. RUNS and ONLY come from the environment, as `make chaos` sets it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sandbox import engine, node
from sandbox.places import CHECKOUT, SandboxError
from tools.chaos import interrupted, report
from tools.chaos.faults import FAULTS
from tools.chaos.figures import Interruptions, Repetition, Report, Row
from tools.chaos.rig import Stack, repeat, say
from tools.measuring import MeasuringError, chosen, commit_of, number_of_runs, refuse_other_stacks, this_machine, today

_FIGURES: Final = CHECKOUT / "docs/chaos.json"
_PAGE: Final = CHECKOUT / "docs/chaos.md"
_MOMENTS_PER_RUN: Final = 4
_INTERRUPT: Final = {
    "kill-deploy": (interrupted.deployments, signal.SIGKILL),
    "stop-deploy": (interrupted.deployments, signal.SIGINT),
    "kill-change": (interrupted.changes, signal.SIGKILL),
    "stop-change": (interrupted.changes, signal.SIGINT),
}


@dataclass(frozen=True)
class Settings:
    """What a run does."""

    runs: int
    """How often each fault is made."""
    faults: Sequence[str]
    """Which, in that order."""

    @classmethod
    def read(cls, env: Mapping[str, str], nodes: int) -> "Settings":
        """Reads RUNS and ONLY.

        Args:
            env: The environment.
            nodes: How many nodes the cluster has.

        Raises:
            MeasuringError: A value is not allowed.
        """
        refuse_other_stacks(env)
        asked = chosen(env, [*FAULTS, *_INTERRUPT])
        for name in asked:
            if name in FAULTS and FAULTS[name].nodes > nodes:
                raise MeasuringError(f"ONLY has {name}, which needs {FAULTS[name].nodes} nodes: make up NODES=3")
        possible = [name for name, fault in FAULTS.items() if fault.nodes <= nodes]
        last = [name for name in possible if FAULTS[name].crashes]
        order = [*(name for name in possible if name not in last), *_INTERRUPT, *last]
        return cls(number_of_runs(env), [name for name in order if not asked or name in asked])


def main() -> None:
    """Makes the faults, and writes the report after each, so that a later failure does not lose it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = Settings.read(os.environ, sum(each.pid() is not None for each in node.ALL))
        if node.FIRST.pid() is None:
            raise MeasuringError("the sandbox does not run: make up")
        os.environ.update(engine.variables())  # for pulumi and kubectl
        Report.read(_FIGURES)  # a file that cannot be read is found out now
        for kind, names in groupby(settings.faults, _kind_of_stack):
            if kind:
                _make(*kind, list(names), settings.runs)
            else:
                for name in names:
                    _record(_interrupt(name, settings.runs))
    except (MeasuringError, SandboxError, AssertionError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted: the faults that had ended are in docs/chaos.md", file=sys.stderr)
        raise SystemExit(130) from None
    whole = Report.read(_FIGURES)
    print("\n\n".join(filter(None, report.tables(whole))))
    if wrong := report.problems(whole, settings.faults):
        print("\n".join(f"error: {each}" for each in wrong), file=sys.stderr)
        raise SystemExit(1)


def _record(measured: Row | Interruptions) -> None:
    """Adds it to what the file has by now: other faults may be made beside these."""
    whole = Report.read(_FIGURES).with_(measured)
    whole.write(_FIGURES)
    _PAGE.write_text(report.markdown(whole))


def _kind_of_stack(name: str) -> tuple[int, bool] | None:
    """How many members a fault needs, and whether each has a node of its own; None for what makes its own stacks."""
    return (FAULTS[name].members, FAULTS[name].nodes > 1) if name in FAULTS else None


def _make(members: int, spread: bool, names: list[str], runs: int) -> None:
    """Makes faults that need the same kind of stack; after one that fails, the next has a new one."""
    while names:
        say(f"deploying a stack with {members} members")
        with Stack(members, spread=spread) as stack:
            stack.deploy()
            failed = False
            while names and not failed:
                row = _repeat(stack, names.pop(0), runs)
                _record(row)
                failed = bool(row.failed)


def _repeat(stack: Stack, name: str, runs: int) -> Row:
    commit, repetitions, failed = commit_of(CHECKOUT), list[Repetition](), ""
    for number in range(1, runs + 1):
        try:
            repetitions.append(repeat(stack, FAULTS[name].make, f"{name}-{number}"))
        except (MeasuringError, SandboxError, AssertionError, subprocess.TimeoutExpired) as problem:
            failed = " ".join(str(problem).split())[:300]
            say(f"{FAULTS[name].title}: {failed}")
            break
        say(f"{FAULTS[name].title}: {repetitions[-1]}")
    return Row(name, repetitions, today(), commit, this_machine(), failed)


def _interrupt(name: str, runs: int) -> Interruptions:
    commit = commit_of(CHECKOUT)
    end, number = _INTERRUPT[name]
    say(f"pulumi up: {report.INTERRUPTED[name]}")
    moments, asked, failed = end(number, _MOMENTS_PER_RUN * runs)
    failed = " ".join(failed.split())[:300]
    return Interruptions(name, moments, asked, today(), commit, this_machine(), failed)


if __name__ == "__main__":
    main()
