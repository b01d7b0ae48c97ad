"""The results of the benchmarks as values: figures over rounds, tables of them, and the bars."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

_WHOLE_FROM = 100
"""A bar of this size needs no decimals; one of 0.9 does."""
BarVerdict = Literal["met", "NOT MET", "not judged"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over the rounds of a run."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """The figure of these rounds; there must be at least one."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.rounds)

    def over(self, other: Figure) -> Figure:
        """The ratio to another figure, round by round: a disturbance in a round affects both."""
        return Figure.of([mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)])

    def text(self, digits: int = 2) -> str:
        """The median and the range."""
        if len(self.rounds) == 1:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({min(self.rounds):,.{digits}f}-{max(self.rounds):,.{digits}f})"

    def to_json(self) -> dict[str, object]:
        """Median, range and the rounds."""
        return {
            "median": self.median,
            "low": min(self.rounds),
            "high": max(self.rounds),
            "rounds": list(self.rounds),
        }


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One measured subject; its figures' names are the columns of its table."""

    name: str
    figures: Mapping[str, Figure]
    what: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of a figure: its median at most (or at least) `limit`; without a figure it is not judged."""

    name: str
    figure: Figure | None
    limit: float
    at_least: bool = False
    unit: str = "x"
    obstacle: str = ""
    """The reason why there is no figure, and how to get one."""

    @property
    def verdict(self) -> BarVerdict:
        """Whether the bar is met."""
        if self.figure is None:
            return "not judged"
        median = self.figure.median
        return "met" if (median >= self.limit if self.at_least else median <= self.limit) else "NOT MET"

    def text(self) -> str:
        """One line: met or not, the measured and the required value."""
        wanted = f"{'at least' if self.at_least else 'at most'} {self.limit:,g} {self.unit}"
        found = (
            f"{self.figure.text(0 if self.limit >= _WHOLE_FROM else 2)} {self.unit}" if self.figure else self.obstacle
        )
        return f"{self.verdict:<10}  {self.name}: {found}; wanted: {wanted}"

    def to_json(self) -> dict[str, object]:
        """All lines; without a figure, the reason."""
        found = {"name": self.name, "limit": self.limit, "at_least": self.at_least, "unit": self.unit}
        figure = self.figure.to_json() if self.figure else {"obstacle": self.obstacle}
        return found | {"verdict": self.verdict} | figure


@dataclass(frozen=True, slots=True)
class FigureTable:
    """One part of the benchmark."""

    name: str
    title: str
    rows: Sequence[FigureRow]
    bars: Sequence[Bar] = ()
    notes: Sequence[str] = field(default=())
    """The parts that were left out, and why."""

    def to_json(self) -> dict[str, object]:
        """All parts."""
        return {
            "name": self.name,
            "title": self.title,
            "rows": [
                {
                    "name": row.name,
                    "what": row.what,
                    "figures": {key: one.to_json() for key, one in row.figures.items()},
                }
                for row in self.rows
            ],
            "bars": [bar.to_json() for bar in self.bars],
            "notes": list(self.notes),
        }
