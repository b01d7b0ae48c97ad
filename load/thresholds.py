"""`--fail-if`: thresholds that make a run a gate."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.contracts.load_result import LoadResult
from core.contracts.measures import Percentiles
from core.errors import UsageError, nearest

_FORM = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_COUNTS: dict[str, Callable[[LoadResult], float | None]] = {
    "clients": lambda result: result.clients,
    "left": lambda result: result.left,
    "unreached": lambda result: result.unreached,
    "deliveries": lambda result: result.deliveries,
    "events": lambda result: result.events,
    "lost": lambda result: result.lost,
    "duplicated": lambda result: result.duplicated,
    "reordered": lambda result: result.reordered,
    "reconnects": lambda result: result.reconnects,
    "gaps": lambda result: result.gaps,
    "foreign": lambda result: result.foreign,
    "negative": lambda result: result.negative,
    "refused": lambda result: sum(result.refused.values()),
}
_PERCENTILES: dict[str, Callable[[Percentiles], float]] = {
    "p50_ms": lambda of: of.p50,
    "p90_ms": lambda of: of.p90,
    "p99_ms": lambda of: of.p99,
    "p999_ms": lambda of: of.p999,
    "max_ms": lambda of: of.max,
}
_SPANS: dict[str, Callable[[LoadResult], Percentiles | None]] = {
    "": lambda result: result.latency_ms,
    "schedule_": lambda result: result.hops_ms.schedule if result.hops_ms else None,
    "broker_": lambda result: result.hops_ms.broker if result.hops_ms else None,
    "fanout_": lambda result: result.hops_ms.fanout if result.hops_ms else None,
    "connect_": lambda result: result.connect_ms,
    "turn_": lambda result: result.turn_ms,
    "downtime_": lambda result: result.downtime_ms,
    "first_event_": lambda result: result.streams.first_event_ms if result.streams else None,
    "gap_": lambda result: result.streams.gap_ms if result.streams else None,
    "silence_": lambda result: result.streams.silence_ms if result.streams else None,
    "answer_": lambda result: result.streams.answer_ms if result.streams else None,
}


def figure_names() -> list[str]:
    """The figures that can be compared."""
    return [*(span + name for span in _SPANS for name in _PERCENTILES), *_COUNTS]


def _figure(name: str, result: LoadResult) -> float | None:
    """None if the events do not carry it."""
    if name in _COUNTS:
        return _COUNTS[name](result)
    span = next(one for one in sorted(_SPANS, reverse=True) if name.startswith(one))
    of = _SPANS[span](result)
    return None if of is None else _PERCENTILES[name.removeprefix(span)](of)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A result fails if the figure exceeds the limit in this direction."""

    figure: str
    comparison: str
    limit: float

    def breach(self, result: LoadResult) -> str:
        """The exceeded limit; '' if there is none."""
        value = _figure(self.figure, result)
        if value is None:
            return f"{self.figure} is unknown for these events, so the threshold {self.comparison} {self.limit:g} cannot be checked"
        if not _COMPARE[self.comparison](value, self.limit):
            return ""
        return f"{self.figure} is {value:g}, which is {self.comparison} {self.limit:g}"


def parse_thresholds(texts: Iterable[str]) -> list[Threshold]:
    """Parse the thresholds in the texts; each text may have several, separated by commas.

    Raises:
        UsageError: one cannot be read, or its figure is unknown.
    """
    return [_parse(part) for text in texts for part in text.split(",") if part.strip()]


def _parse(text: str) -> Threshold:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"--fail-if {text.strip()!r}: it takes FIGURE>NUMBER, such as 'p99_ms>100' or 'lost>0'")
    figure, comparison, limit = match.groups()
    if figure not in figure_names():
        raise UsageError(f"--fail-if {text.strip()!r}: no figure of that name; {nearest(figure, figure_names())}")
    return Threshold(figure, comparison, float(limit))
