"""What the faults showed, as values: each repetition, and each `pulumi up` that was interrupted."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tools.measuring import read_figures, unreadable, write_figures


@dataclass(frozen=True)
class Repetition:
    """One fault under load, from the first score before it to the last one after it."""

    acknowledged: int
    """Scores that the game called saved."""
    lost: int
    """Those of them that some member does not have."""
    gap: float
    """The longest time without an acknowledged score, in seconds."""
    complete: int | None
    """The fewest members that had all data at some moment; None where the fault ends the pod that watches them."""


@dataclass(frozen=True)
class Row:
    """One fault with all its repetitions, and when, where and of which version."""

    fault: str
    repetitions: Sequence[Repetition]
    date: str
    commit: str
    machine: str
    failed: str = ""
    """Why there are no more repetitions: what did not come about, in one line."""

    @property
    def acknowledged(self) -> int:
        """Acknowledged scores of all repetitions."""
        return sum(each.acknowledged for each in self.repetitions)

    @property
    def lost(self) -> int:
        """Lost scores of all repetitions."""
        return sum(each.lost for each in self.repetitions)

    @property
    def median(self) -> float:
        """Seconds without writes, the median over the repetitions."""
        return statistics.median(each.gap for each in self.repetitions)

    @property
    def worst(self) -> float:
        """Seconds without writes, the longest of all repetitions."""
        return max(each.gap for each in self.repetitions)

    @property
    def complete(self) -> int | None:
        """The fewest members that had all data at some moment of some repetition."""
        return min((each.complete for each in self.repetitions if each.complete is not None), default=None)


@dataclass(frozen=True)
class Interruptions:
    """One way to end a `pulumi up` before its time, at several moments."""

    fault: str
    moments: Sequence[float]
    """When, in seconds after its start: those after which the next `up` completed it."""
    asked: Sequence[str]
    """What the engine wanted first, for each of them: nothing, `cancel`, `refresh`."""
    date: str
    commit: str
    machine: str
    failed: str = ""
    """What was wrong after one more moment, the last one that was tried."""


@dataclass(frozen=True)
class Report:
    """The newest figures of each fault."""

    rows: Mapping[str, Row] = field(default_factory=dict)
    interruptions: Mapping[str, Interruptions] = field(default_factory=dict)

    def with_(self, measured: Row | Interruptions) -> Self:
        """The same with the newest figures of one fault."""
        if isinstance(measured, Row):
            return type(self)({**self.rows, measured.fault: measured}, self.interruptions)
        return type(self)(self.rows, {**self.interruptions, measured.fault: measured})

    def write(self, file: Path) -> None:
        """Writes it as JSON, in one step."""
        write_figures(file, {name: [asdict(each) for each in part.values()] for name, part in vars(self).items()})

    @classmethod
    def read(cls, file: Path) -> Self:
        """What was written; nothing where there is no such file.

        Raises:
            MeasuringError: It is not what `write` writes.
        """
        found: dict[str, list[dict[str, Any]]] | None = read_figures(file)
        report = cls()
        if found is None:
            return report
        try:
            for each in found["rows"]:
                report = report.with_(Row(**each | {"repetitions": [Repetition(**one) for one in each["repetitions"]]}))
            for each in found["interruptions"]:
                report = report.with_(Interruptions(**each))
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise unreadable(file, problem) from None
        return report


def fewest_complete(changes: Sequence[Mapping[str, Any]], begin: float, end: float) -> int | None:
    """The fewest members that had all data at some moment.

    Args:
        changes: What became of a member at a time: `at`, `member`, and whether it is `complete`; in order of time.
        begin: The first moment that counts.
        end: The last one.

    Returns:
        None where nothing is known of the time before `begin`.
    """
    before = [change for change in changes if change["at"] <= begin]
    within = [change for change in changes if begin < change["at"] <= end]
    complete = set[str]()
    numbers = []
    for change in [*before, *within]:
        (complete.add if change["complete"] else complete.discard)(change["member"])
        numbers.append(len(complete))
    return min(numbers[len(before) - 1 :]) if before else None
