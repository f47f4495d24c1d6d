"""The report: docs/chaos.md, whose tables are also what the terminal shows."""

from collections.abc import Sequence
from typing import Final

from tools.chaos.faults import FAULTS
from tools.chaos.figures import Interruptions, Report, Row

INTERRUPTED: Final = {
    "kill-deploy": "SIGKILL while it deploys",
    "stop-deploy": "Ctrl-C while it deploys",
    "kill-change": "SIGKILL while it changes",
    "stop-change": "Ctrl-C while it changes",
}
"""How a `pulumi up` is ended, by its name in ONLY."""
_FAULTS: Final = ("Fault", "Repetitions", "Acknowledged", "Lost", "Median", "Allowed", "Worst", "Complete members")
_INTERRUPTIONS: Final = ("`pulumi up`, ended by", "Moments", "`cancel` needed", "`refresh` needed", "Completed")
_INTRODUCTION: Final = """\
# Chaos

`make chaos` writes this page on a running sandbox. Some faults stop the node, and so the game of `make up`. `RUNS=`
sets the number of repetitions, 5 by default; `ONLY=delete-primary,restart` runs some faults again. Faults for three
nodes run if the cluster has them (`make up NODES=3`).

Each fault is made on a stack of its own, under load: 4 connections post 20 numbered scores a second through the
Ingress, before, during and after the fault. A player waits 2 s for an answer. A score is acknowledged if the answer is
`rs: "success"`. When all pods are ready again and scores are saved, each member is asked by its own DNS name: it must
have every acknowledged score, and the same documents as the others (`dbHash`). A fault after which the members do not
agree counts as failed.

*Median* and *worst* are seconds without writes: the longest time between two acknowledged scores of a repetition.
*Allowed* is the limit for the median. Ten times a second, `hello` asks each member for its state: *complete members* is
the lowest number of primaries and secondaries seen. During a rolling update, a majority is required.
"""
_INTERRUPTION: Final = """\
## `pulumi up`, interrupted

`pulumi up` is ended at moments that are spread evenly over its usual time, on a stack with one member. The next `up`
has to go through, after `pulumi cancel` or `pulumi refresh --clear-pending-creates` where the engine asks for it. Then
`pulumi up --refresh` must find nothing to change, state and cluster must have the same objects, each once, and scores
must be saved.
"""


def tables(report: Report) -> tuple[str, str]:
    """The table of the faults under load, and that of the interrupted `pulumi up`; empty where nothing was run."""
    rows = [_fault(report.rows[name]) for name in FAULTS if name in report.rows]
    ended = [_interruptions(report.interruptions[name]) for name in INTERRUPTED if name in report.interruptions]
    return (_table(_FAULTS, rows) if rows else "", _table(_INTERRUPTIONS, ended) if ended else "")


def markdown(report: Report) -> str:
    """docs/chaos.md."""
    faults, interruptions = tables(report)
    missing = [fault.title for name, fault in FAULTS.items() if name not in report.rows]
    missing += [f"`pulumi up`: {title}" for name, title in INTERRUPTED.items() if name not in report.interruptions]
    parts = [_INTRODUCTION, faults, _notes([row for name, row in report.rows.items() if name in FAULTS])]
    if interruptions:
        parts += [_INTERRUPTION, interruptions, _notes(list(report.interruptions.values()))]
    if missing:
        parts.append(f"Not run yet: {'; '.join(missing)}.")
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def problems(report: Report, names: Sequence[str]) -> list[str]:
    """What is not as it has to be of some faults, each in one line."""
    found = []
    for name in names:
        row = report.rows.get(name) or report.interruptions.get(name)
        if row and row.failed:
            found.append(f"{_title(name)}: {row.failed}")
        if isinstance(row, Row) and row.repetitions:
            fault = FAULTS[name]
            if row.lost:
                found.append(f"{fault.title}: {row.lost} acknowledged scores are lost")
            if fault.most and row.median > fault.most:
                found.append(f"{fault.title}: {row.median:.1f} s without writes, {fault.most:g} are allowed")
            if fault.majority and row.complete is not None and row.complete <= fault.members // 2:
                found.append(f"{fault.title}: only {row.complete} members had all data at some moment")
    return found


def _title(name: str) -> str:
    return FAULTS[name].title if name in FAULTS else f"pulumi up, {INTERRUPTED[name]}"


def _fault(row: Row) -> list[str]:
    fault = FAULTS[row.fault]
    some = bool(row.repetitions)
    return [
        fault.title,
        str(len(row.repetitions)),
        str(row.acknowledged),
        str(row.lost),
        f"{row.median:.1f} s" if some else "",
        f"{fault.most:g} s" if fault.most else "",
        f"{row.worst:.1f} s" if some else "",
        "" if row.complete is None else f"{row.complete} of {fault.members}",
    ]


def _interruptions(row: Interruptions) -> list[str]:
    needed = [str(sum(command in asked for asked in row.asked)) for command in ("cancel", "refresh")]
    return [INTERRUPTED[row.fault], str(len(row.moments) + bool(row.failed)), *needed, str(len(row.moments))]


def _notes(rows: Sequence[Row | Interruptions]) -> str:
    """Where the rows of a table were measured, and what failed."""
    places = dict[str, list[str]]()
    for row in rows:
        places.setdefault(f"{row.date}, commit {row.commit}, on {row.machine}", []).append(_title(row.fault))
    if len(places) == 1:
        notes = [f"{place}." for place in places]
    else:
        notes = [f"{place}: {', '.join(titles)}." for place, titles in places.items()]
    return "\n\n".join([*(f"**Failed:** {_title(row.fault)}: {row.failed}" for row in rows if row.failed), *notes])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned in the source, too: numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        fields = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *fields[1:]])} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([line(head), f"|{rule}|", *map(line, rows)])
