"""Conditions on a run's figures, as people write them: `p99<100ms, lost=0`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from core.errors import UsageError, nearest
from harness.results.run_record import LATENCY, Run
from harness.results.summary import split_metric, value_of

EXAMPLE = "p99<100ms, lost=0"

_COUNTS = ("lost", "duplicated", "reordered", "gaps")
_LATENCIES = tuple(
    f"{hop}{name}"
    for hop in ("", "schedule_", "broker_", "fanout_")
    for name in ("p50", "p90", "p99", "p999", "max", "mean")
)
_FORM = re.compile(r"([a-z0-9_]+?)(?:_ms)?\s*(<=|<|=)\s*([0-9]*\.?[0-9]+)\s*(ms|us|s|%)?\Z")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_HOLDS: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, "<=": operator.le, "=": operator.eq}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: a latency in milliseconds, a count, or a count as a percentage of the expected events."""

    figure: str
    relation: str
    limit: float
    share: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `p99<100ms`, `broker_p99<=5ms`, `lost=0` or `lost<0.1%`.

        Raises:
            UsageError: it is not such a condition; the message names the nearest figure.
        """
        match = _FORM.match(text.strip())
        if match is None:
            raise UsageError(f"condition {text.strip()!r} cannot be read; write conditions like {EXAMPLE!r}")
        figure, relation, number, unit = match.groups()
        if figure in _COUNTS:
            if unit not in (None, "%"):
                raise UsageError(f"condition {text.strip()!r}: {figure} is a count; write {figure}=0 or {figure}<0.1%")
            return cls(figure, relation, float(number), share=unit == "%")
        if split_metric(f"{figure}_ms") is None:
            raise UsageError(
                f"condition {text.strip()!r}: unknown figure '{figure}'; {nearest(figure, (*_COUNTS, *_LATENCIES))}"
            )
        if unit not in _MS or relation == "=":
            raise UsageError(f"condition {text.strip()!r}: a latency needs < and a unit; write {figure}<100ms")
        return cls(figure, relation, float(number) * _MS[unit])

    def value(self, run: Run) -> float | None:
        """The figure of a run in the condition's unit; None when it was not measured."""
        if self.figure not in _COUNTS:
            return value_of(run, f"{self.figure}_ms")
        count = float(getattr(run, self.figure))
        if not self.share:
            return count
        return 100 * count / run.expected if run.expected else None

    def clock_bound_ms(self, run: Run) -> float:
        """How far the clocks of several hosts may have moved the run's figure; 0 on one host, and for counts."""
        hop = self.figure.rpartition("_")[0] or LATENCY
        return 0.0 if self.figure in _COUNTS else run.figures.get(f"{hop}_bound_ms", 0.0)

    def broken_by(self, run: Run) -> str:
        """Return how the run breaks the condition, or may break it as far as the hosts' clocks are known; empty if it does not."""
        value = self.value(run)
        if value is None:
            return f"{self.figure} was not measured ({self} wanted)"
        if self._holds(value + self.clock_bound_ms(run)):
            return ""
        known = (
            f", known within {self._written(self.clock_bound_ms(run))} by the hosts' clocks"
            if self._holds(value)
            else ""
        )
        return f"{self.figure} {self._written(value)}{known} ({self} wanted)"

    def hidden_by_clocks(self, run: Run) -> bool:
        """Whether only the clocks' bound breaks it."""
        value = self.value(run)
        return value is not None and self._holds(value) and not self._holds(value + self.clock_bound_ms(run))

    def _holds(self, value: float) -> bool:
        return _HOLDS[self.relation](value, self.limit)

    def _written(self, value: float) -> str:
        if self.figure in _COUNTS:
            return f"{value:.3g}%" if self.share else f"{value:,.0f}"
        return f"{value:.1f} ms"

    def __str__(self) -> str:
        unit = "%" if self.share else "" if self.figure in _COUNTS else "ms"
        return f"{self.figure}{self.relation}{self.limit:g}{unit}"


@dataclass(frozen=True, slots=True)
class Slo:
    """A service-level objective: every condition must hold."""

    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read conditions separated by commas.

        Raises:
            UsageError: there is none, or one cannot be read.
        """
        parts = [part for part in text.split(",") if part.strip()]
        if not parts:
            raise UsageError(f"objective {text!r} has no condition; write for instance {EXAMPLE!r}")
        return cls(tuple(Condition.parse(part) for part in parts))

    def broken_by(self, run: Run) -> str:
        """Return how the run breaks the objective; empty if it does not."""
        return "; ".join(said for condition in self.conditions if (said := condition.broken_by(run)))

    def hidden_by_clocks(self, run: Run) -> bool:
        """Whether the run breaks the objective only as far as the hosts' clocks are not known: the harness is the limit."""
        broken = [condition for condition in self.conditions if condition.broken_by(run)]
        return bool(broken) and all(condition.hidden_by_clocks(run) for condition in broken)

    def __str__(self) -> str:
        return ", ".join(map(str, self.conditions))
