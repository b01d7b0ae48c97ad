"""A contender's figures over dates and over versions of its program: one line for each workload and machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from packaging.version import InvalidVersion, Version

from harness.analysis.standings import Standing
from harness.analysis.statistics import Interval
from harness.report.lines import Curve, Lines
from harness.report.view import Chart, lines_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_POINTS = 2
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_TICKS = 5


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """A contender's standing in one result."""

    standing: Standing
    series: str
    """Workload and machine: figures can be compared only within one series."""
    day: str
    """Such as `2026-11-25`."""
    version: str
    """The program's version; empty if there is no program."""


FIGURES: dict[str, tuple[str, Callable[[Standing], Interval | None]]] = {
    "p99": ("p99 of the latency", lambda standing: standing.percentile(99) if standing.carries(99) else None),
    "broker": ("p50 of the broker hop", lambda standing: standing.percentile(50, "broker")),
}


def trend_charts(points: Sequence[TrendPoint]) -> tuple[list[Chart], str]:
    """Return the charts, and a sentence that explains the letters or says that there is nothing to draw."""
    series = list(dict.fromkeys(point.series for point in points))
    letters = {name: _LETTERS[place] if place < len(_LETTERS) else f"{place}" for place, name in enumerate(series)}
    charts = []
    for figure, (title, measure) in FIGURES.items():
        for axis, place in (("dates", _by_day), ("versions", _by_version)):
            lines = _lines([p for p in points if measure(p.standing)], measure, letters, axis, place, title)
            if lines is not None:
                text = "With its range over the rounds. A letter is one workload on one machine; the list names it."
                charts.append(lines_chart(f"{figure}-{axis}", f"{title} over {axis}", text, lines))
    if not charts:
        return [], "No trend yet: it needs two results with one workload on one machine, from two days or two versions."
    return charts, "; ".join(f"{letter}: {name}" for name, letter in letters.items())


Placed = Callable[[Sequence[TrendPoint]], dict[str, float]]


def _by_day(points: Sequence[TrendPoint]) -> dict[str, float]:
    """Days since the first."""
    days = {day: when for day in sorted({point.day for point in points}) if (when := _date(day)) is not None}
    first = min(days.values(), default=date.min)
    return {day: float((when - first).days) for day, when in days.items()}


def _date(day: str) -> date | None:
    """None for other text: who made the bundle may have written anything there."""
    try:
        return date.fromisoformat(day)
    except ValueError:
        return None


def _by_version(points: Sequence[TrendPoint]) -> dict[str, float]:
    versions = sorted({point.version for point in points if point.version}, key=_version_order)
    return {version: float(place) for place, version in enumerate(versions)}


def _version_order(text: str) -> tuple[Version, str]:
    try:
        return Version(text.split()[0]), text
    except (InvalidVersion, IndexError):
        return Version("0"), text


def _lines(
    points: Sequence[TrendPoint],
    measure: Callable[[Standing], Interval | None],
    letters: dict[str, str],
    axis: str,
    place: Placed,
    title: str,
) -> Lines | None:
    """Return a line for each series with at least two places; among several results at one place, the newest counts."""
    places = place(points)
    by_series: dict[str, dict[float, Interval]] = {}
    for point in sorted(points, key=lambda one: one.day):
        where = places.get(point.day if axis == "dates" else point.version)
        value = measure(point.standing)
        if where is not None and value is not None:
            by_series.setdefault(letters[point.series], {})[where] = value
    curves = {name: _curve(values) for name, values in by_series.items() if len(values) >= LEAST_POINTS}
    if not curves:
        return None
    called = {where: name for name, where in places.items()}
    shown = list(called)[:: max(1, len(called) // _MOST_TICKS)]

    def finish(axes: Axes) -> None:
        axes.set_xticks(shown, [called[where] for where in shown])

    return Lines(curves, axis, f"{title}, ms", finish, [(where, f"{name}, ms") for where, name in called.items()])


def _curve(values: dict[float, Interval]) -> Curve:
    where = sorted(values)
    rows = np.maximum(np.array([(values[x].estimate, values[x].low, values[x].high) for x in where]), 1e-3)
    return np.array(where), rows[:, 0], rows[:, 1], rows[:, 2]
