"""The measured figures as values: what was compared with what, in which runs, and which target it has to hold."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tools.measuring import read_figures, unreadable, write_figures


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    """What was measured."""
    unit: str
    """The unit of `ours` and `other`: s, /s, ms, MB, GB, min, CPU-min."""
    ours: Sequence[float]
    """What was measured in each run."""
    against: str = ""
    """What `other` is; empty where the figure is compared with nothing."""
    other: Sequence[float] = ()
    """The same runs without the program, or without the Ingress."""
    target: float | None = None
    """For the ratio; where nothing is compared, for the median of `ours`."""
    at_least: bool = False
    """Whether the target is the least that is allowed, and not the most."""

    def __post_init__(self) -> None:
        if not self.ours:
            raise ValueError(f"{self.what}: has no run")
        if self.other and len(self.other) != len(self.ours):
            raise ValueError(f"{self.what}: {len(self.ours)} runs against {len(self.other)}")

    @property
    def ratio(self) -> float | None:
        """The median of the ratios within each run; None where nothing is compared."""
        if not self.other:
            return None
        return statistics.median(one / two for one, two in zip(self.ours, self.other, strict=True))

    @property
    def verdict(self) -> str:
        """`held` or `missed`; empty where there is no target."""
        if self.target is None:
            return ""
        figure = statistics.median(self.ours) if self.ratio is None else self.ratio
        held = figure >= self.target if self.at_least else figure <= self.target
        return "held" if held else "missed"


@dataclass(frozen=True)
class Section:
    """What one section measured, and when, where and of which version."""

    name: str
    rows: Sequence[Row]
    runs: int
    date: str
    commit: str
    machine: str
    notes: Sequence[str] = field(default=())
    """What a reader of the figures has to know besides: failed requests, what did not fit."""


@dataclass(frozen=True)
class Report:
    """The newest figures of each section, in the order of the report."""

    sections: Mapping[str, Section] = field(default_factory=dict)

    def with_section(self, section: Section) -> Self:
        """The same with the newest figures of one section."""
        return type(self)({**self.sections, section.name: section})

    def write(self, file: Path) -> None:
        """Writes it as JSON, in one step."""
        write_figures(file, [asdict(each) for each in self.sections.values()])

    @classmethod
    def read(cls, file: Path) -> Self:
        """What was written; nothing where there is no such file.

        Raises:
            MeasuringError: It is not what `write` writes.
        """
        found: list[dict[str, Any]] | None = read_figures(file)
        if found is None:
            return cls()
        try:
            sections = [Section(**{**each, "rows": [Row(**row) for row in each["rows"]]}) for each in found]
        except (ValueError, TypeError, KeyError) as problem:
            raise unreadable(file, problem) from None
        return cls({each.name: each for each in sections})
