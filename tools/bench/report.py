"""The report: a table for the terminal, docs/performance.md, and its plot."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.bench.figures import Report, Row, Section
from tools.bench.load_sections import CONNECTIONS, POD_CPU, PODS, SECONDS_PER_POINT
from tools.bench.stack_sections import FEW, MANY

SECTIONS: Final = {
    "deploy": (
        "Deploy and destroy",
        "`pulumi up` starts from no namespace and ends when a score was saved: a `POST /highscores` through the Ingress"
        ' that answers `rs: "success"`, tried every 50 ms. kubectl applies the same manifests, taken from the state of'
        " that stack, and waits in the same way. *At once* is one `kubectl apply` of everything. A pod that"
        " starts too early fails, and starts again after ever longer pauses, so chance decides whether this takes 10 s"
        " or 70 s. *In the right order*"
        " is one `kubectl apply` of everything that needs no wait, then the StatefulSet and the Job, and when both are"
        " done the Deployment. *The chain of pod starts* is the part of that run from `apply`"
        " until mongo-0 is ready, the Job is complete and the first Pacman is ready. `pulumi destroy` and `kubectl"
        " delete namespace` both end when the namespace is gone; kubectl leaves the ClusterRole behind.",
    ),
    "idle": (
        "Nothing to do",
        "`pulumi up` and `pulumi preview` on a stack that is up, with `--expect-no-changes`, against the same on a"
        " Python program that is an empty file: that is what the engine and Python take by themselves.",
    ),
    "change": (
        "Changes",
        "The image change is to a second tag of the same image, so nothing is pulled. Both sides end when the rollout"
        f" is complete. To {MANY} pods, both sides end when {MANY} are ready. Back to {FEW}, both sides end when the"
        " other pods are gone. A leaving pod takes 5 s for its open connections.",
    ),
    "throughput": (
        "Through the Ingress",
        f"`wrk` sends requests for {SECONDS_PER_POINT} s over {', '.join(map(str, CONNECTIONS))} connections, to the"
        " Ingress and directly to the only Pacman pod, one after the other and from the node's own network. Only"
        ' answers with `rs: "success"`, or with a list that has entries, are counted. The Ingress limits the'
        " requests of a client; the bench lifts that for its own Ingress. The controller closes each connection after"
        " an answer, the pod keeps it open. p50 and p99 are the latencies of half, and of 99 of 100 requests; `wrk`"
        " does not count the time to connect.",
    ),
    "pods": (
        "More pods",
        f"`kubectl scale` from 0 to {', '.join(map(str, PODS))} pods of Pacman, until all are ready. The memory is what"
        " the processes of the node take more than before, for each pod: the pods' own, their shims, and what kubelet"
        " and the API server take more. Memory that several processes share is counted once (PSS). Here a pod requests"
        f" {POD_CPU} of CPU, so that {PODS[-1]} fit on two cores.",
    ),
    "sandbox": (
        "The sandbox",
        "`make up` and `make down` in a copy of the checkout that shares the cache and `.venv`, so nothing is built."
        " `make up` starts where no node runs and ends when a score was saved. *In a new checkout*, the node makes its"
        " keys and loads the images first. The checkout's own node is stopped meanwhile.",
    ),
    "cold": (
        "The sandbox from nothing",
        "`make up` in a copy of the checkout, with empty caches of its own for what is built and for what npm and pip"
        " download. Measured once, by `make bench COLD=1`.",
    ),
}
"""Each section: its title, and how it is measured."""
_COLUMNS: Final = ("what", "Pulumi / through", "against", "other", "ratio", "target", "")
_GROWTH: Final = {"s": "Seconds per pod until all are ready", "MB": "MB of memory per pod"}
_BLUE, _RED, _GREY = "#3465a4", "#cc3311", "#777777"


def table(report: Report, now: Sequence[str]) -> str:
    """The table for a terminal.

    Args:
        report: The figures.
        now: The sections that were run now; the table says which were not.
    """
    cells = [(name, [_cells(row) for row in section.rows]) for name, section in _in_order(report)]
    rows = [row for _, some in cells for row in some]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        # Numbers to the right, words to the left.
        fields = (
            text.rjust(width) if number in (1, 3, 4, 5) else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(fields).rstrip()

    lines = [line(_COLUMNS)]
    for name, some in cells:
        section = report.sections[name]
        when = "" if name in now else f" (not run now: of {section.date}, commit {section.commit})"
        lines += ["", f"{SECTIONS[name][0]}{when}", *map(line, some), *section.notes]
    missing = [title for name, (title, _) in SECTIONS.items() if name not in report.sections]
    return "\n".join([*lines, *(["", f"Not run yet: {', '.join(missing)}"] if missing else [])])


def markdown(report: Report, plot: str) -> str:
    """docs/performance.md.

    Args:
        report: The figures.
        plot: The plot's file, relative to the page.
    """
    found = _in_order(report)
    missed = sum(row.verdict == "missed" for _, section in found for row in section.rows)
    held = sum(row.verdict == "held" for _, section in found for row in section.rows)
    lines = [
        "# Performance",
        "",
        "`make bench` writes this page on a running sandbox. `RUNS=` sets the number of runs, 5 by default;"
        " `ONLY=deploy,idle` measures some sections again; `COLD=1` adds the build from nothing.",
        "",
        "A ratio compares two measurements of the same run, made one after the other on the same machine; the figure is"
        " the median over the runs. So compare ratios between machines, not seconds. Seconds, rates and sizes are"
        f" medians, too. Targets: {held} held, {missed} missed.",
        "",
        f"![Ratios with their targets, and time and memory as pods grow]({plot})",
    ]
    for name, section in found:
        title, how = SECTIONS[name]
        runs = f"{section.runs} run{'s'[: section.runs - 1]}"
        lines += [
            *("", f"## {title}", "", how, ""),
            *("| What | Pulumi / through | Against | Other | Ratio | Target | |", "|---|---:|---|---:|---:|---:|---|"),
            *(f"| {' | '.join(_cells(row))} |" for row in section.rows),
            *(line for note in section.notes for line in ("", note)),
            *("", f"{section.date}, commit {section.commit}, {runs}, on {section.machine}."),
        ]
    missing = [title for name, (title, _) in SECTIONS.items() if name not in report.sections]
    if missing:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def plot(report: Report, file: Path) -> None:
    """Draws the ratios with their targets, and time and memory as pods grow, into an SVG file."""
    rows = [row for _, section in _in_order(report) for row in section.rows if row.ratio is not None and row.target]
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9}):
        figure = Figure(figsize=(9, 3.4 + 0.36 * len(rows)), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[0.36 * len(rows) + 0.6, 2.4])
        _draw_ratios(figure.add_subplot(grid[0, :]), rows)
        section = report.sections.get("pods")
        for column, (unit, title) in enumerate(_GROWTH.items()):
            growth = [row for row in section.rows if row.unit == unit] if section else []
            _draw_growth(figure.add_subplot(grid[1, column]), title, growth)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def _draw_ratios(axes: Axes, rows: Sequence[Row]) -> None:
    for place, row in enumerate(reversed(rows)):
        ratio, target = row.ratio or 0.0, row.target or 0.0
        axes.barh(place, ratio, color=_RED if row.verdict == "missed" else _BLUE, height=0.6)
        axes.plot([target, target], [place - 0.42, place + 0.42], color="black", linewidth=2)
        axes.text(0.02, place, f"{ratio:.2f}", color="white", va="center", fontweight="bold")
    axes.set_yticks(range(len(rows)), [f"{row.what}\n/ {row.against}" for row in reversed(rows)], fontsize=7)
    axes.axvline(1.0, color=_GREY, linewidth=1, linestyle="--")
    axes.set_xlim(left=0)
    axes.set_title("Ratio; the black mark is the target, the dashed line is 1.0, red is missed")


def _draw_growth(axes: Axes, title: str, rows: Sequence[Row]) -> None:
    sizes = PODS[: len(rows)]
    axes.plot(sizes, [statistics.median(row.ours) for row in rows], color=_BLUE, marker="o")
    axes.set_title(title)
    axes.set_xlabel("pods that start at once")
    axes.set_xticks(PODS)
    axes.set_ylim(bottom=0)


def _cells(row: Row) -> tuple[str, ...]:
    def figure(values: Sequence[float]) -> str:
        return f"{_number(statistics.median(values))} {row.unit}" if values else ""

    bound = "" if row.target is None else f"{'≥' if row.at_least else '≤'} {row.target:g}"
    if bound and row.ratio is None:
        bound += f" {row.unit}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return (row.what, figure(row.ours), row.against, figure(row.other), ratio, bound, row.verdict)


def _number(value: float) -> str:
    """Three digits, which is more than two runs agree in."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _in_order(report: Report) -> list[tuple[str, Section]]:
    return [(name, report.sections[name]) for name in SECTIONS if name in report.sections]
