"""Line charts of a comparison: percentiles, time, clients per replica, and load in a capacity search.

As in harness/report/bar_charts.py, each function returns a matplotlib Figure, or None if there is nothing to draw.
Functions that end in `_lines` return the lines that the report draws on both scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.contracts.capacity import Capacity
from core.histogram import Histogram
from harness.analysis.judgements import TAIL_EVENTS
from harness.analysis.standings import Standing, percentile_band
from harness.analysis.statistics import Interval
from harness.report.bar_charts import LOAD_UNITS
from harness.report.chart_style import LIGHT, new_figure, style
from harness.report.lines import Curve, Floats, Lines
from harness.results.run_record import LATENCY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NINES = {50: "50", 90: "90", 99: "99", 99.9: "99.9", 99.99: "99.99", 99.999: "99.999"}
_ASKED = (50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 99.99, 99.999)
"""Percentiles at which the pointer shows values."""
_MEDIAN = float(np.log10(2))  # 50% on the axis of nines
LEAST_SECONDS = 4
"""Shorter runs have no chart over time."""


def percentiles(standings: Sequence[Standing], hop: str = LATENCY) -> Figure | None:
    """Draw latency by percentile from the median up, on an axis of nines, with a band over resampled rounds."""
    lines = percentile_lines(standings, hop)
    return lines.figure() if lines else None


def percentile_lines(standings: Sequence[Standing], hop: str = LATENCY) -> Lines | None:
    """The lines of `percentiles`; a line ends at the highest percentile that its number of events supports."""
    curves: dict[str, Curve] = {}
    for standing in standings:
        histograms = [run.histograms[hop] for run in standing.runs if hop in run.histograms]
        if not sum(histogram.count for histogram in histograms):
            continue
        nines = np.linspace(_MEDIAN, max(1.0, np.log10(standing.events / TAIL_EVENTS)), 50)
        band = percentile_band(histograms, (100 * (1 - 10**-nines)).tolist())
        curves[standing.contender] = (nines, *_columns(band))
    if not curves:
        return None
    furthest = max(curve[0][-1] for curve in curves.values())

    def finish(axes: Axes) -> None:
        ticks = {_nines(q): text for q, text in _NINES.items() if _nines(q) <= furthest + 1e-9}
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlim(_MEDIAN, furthest)

    marks = [(_nines(q), f"p{q:g}, ms") for q in _ASKED]
    return Lines(curves, "percentile of deliveries", "latency, ms", finish, marks)


def _nines(percentile: float) -> float:
    return float(-np.log10(1 - percentile / 100))


def _columns(band: Sequence[Interval]) -> tuple[Floats, Floats, Floats]:
    rows: Floats = np.maximum(np.array([(point.estimate, point.low, point.high) for point in band]), 1e-3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def timeline(standings: Sequence[Standing]) -> Figure | None:
    """Draw p99 of each second of a run: the median over rounds, with a band from the lowest to the highest round."""
    lines = timeline_lines(standings)
    return lines.figure() if lines else None


def timeline_lines(standings: Sequence[Standing]) -> Lines | None:
    """The lines of `timeline`; None if runs are shorter than LEAST_SECONDS."""
    curves: dict[str, Curve] = {}
    for standing in standings:
        by_second: dict[float, list[float]] = {}
        for run in standing.runs:
            for row in run.timeline:
                by_second.setdefault(row.t_s, []).append(max(row.p99_ms, 1e-3))
        if len(by_second) >= LEAST_SECONDS:
            seconds = sorted(by_second)
            values = [by_second[second] for second in seconds]
            middle, low, high = (np.array([pick(found) for found in values]) for pick in (np.median, np.min, np.max))
            curves[standing.contender] = (np.array(seconds, np.float64), middle, low, high)
    if not curves:
        return None
    last = max(curve[0][-1] for curve in curves.values())
    every = sorted({float(second) for curve in curves.values() for second in curve[0]})
    marks = [(second, f"second {second:g}, p99 in ms") for second in every]
    return Lines(curves, "time, s", "p99 of that second, ms", lambda axes: axes.set_xlim(0, last), marks)


def fanout_by_clients(standings: Sequence[Standing]) -> Figure | None:
    """Draw fan-out p50 by clients per replica; it needs runs at two or more client numbers."""
    lines = fanout_lines(standings)
    return lines.figure() if lines else None


def fanout_lines(standings: Sequence[Standing]) -> Lines | None:
    """The lines of `fanout_by_clients`."""
    curves: dict[str, Curve] = {}
    for standing in standings:
        at: dict[float, list[Histogram]] = {}
        for run in standing.runs:
            if "fanout" in run.histograms:
                at.setdefault(run.scenario.clients / run.scenario.replicas, []).append(run.histograms["fanout"])
        if len(at) > 1:
            bands = [percentile_band(at[clients], [50])[0] for clients in sorted(at)]
            curves[standing.contender] = (np.array(sorted(at)), *_columns(bands))
    if not curves:
        return None
    most = max(curve[0][-1] for curve in curves.values())
    every = sorted({float(clients) for curve in curves.values() for clients in curve[0]})
    marks = [(clients, f"{clients:,.0f} clients, p50 in ms") for clients in every]
    return Lines(curves, "clients per replica", "fan-out p50, ms", lambda axes: axes.set_xlim(0, most), marks)


def load_curves(searches: Mapping[str, Capacity]) -> Figure | None:
    """Draw p99 by load, one curve per named search, without the runs that a check refused."""
    lines = load_lines(searches)
    return lines.figure() if lines else None


def load_lines(searches: Mapping[str, Capacity]) -> Lines | None:
    """The lines of `load_curves`."""
    curves: dict[str, Curve] = {}
    for name, search in searches.items():
        at: dict[int, list[float]] = {}
        for point in search.points:
            if point.p99_ms > 0 and point.judged and not point.by_harness:
                at.setdefault(point.load, []).append(point.p99_ms)
        if len(at) > 1:
            loads = sorted(at)
            middle, low, high = (
                np.array([pick(at[load]) for load in loads], np.float64) for pick in (np.median, np.min, np.max)
            )
            curves[name] = (np.array(loads, np.float64), middle, low, high)
    if not curves:
        return None
    most, unit = max(curve[0][-1] for curve in curves.values()), next(iter(searches.values())).vary
    words = LOAD_UNITS.get(unit, unit)
    every = sorted({float(load) for curve in curves.values() for load in curve[0]})
    marks = [(load, f"{load:,.0f} {words}, p99 in ms") for load in every]
    return Lines(curves, words, "p99, ms", lambda axes: axes.set_xlim(0, most), marks)


def knee(search: Capacity) -> Figure | None:
    """Draw p99 of each run of a capacity search by load; runs that broke are crosses."""
    shown = [point for point in search.points if point.p99_ms > 0 and point.judged]
    if not shown:
        return None
    with style():
        figure, grid = new_figure(280)
        axes = grid[0]
        for held, marker, colour in ((True, "o", LIGHT["blue"]), (False, "x", LIGHT["orange"])):
            points = [(point.load, point.p99_ms) for point in shown if point.held is held]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=colour, ms=8, mew=2, mfc="none", clip_on=False)
        axes.set_xlim(0, max(point.load for point in shown) * 1.08)
        axes.set_ylim(0, max(point.p99_ms for point in shown) * 1.12)
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.locator_params(axis="x", nbins=6)
        axes.grid()
        axes.set_axisbelow(True)
        axes.set_xlabel(LOAD_UNITS.get(search.vary, search.vary))
        axes.set_ylabel("p99, ms")
        if search.held is not None:
            axes.axvline(search.held, color=LIGHT["muted"], lw=1, ls=(0, (4, 3)))
            left = search.held > axes.get_xlim()[1] / 2
            axes.annotate(
                f"holds up to {search.held:,}",
                xy=(search.held, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-6 if left else 6, 4),
                textcoords="offset points",
                ha="right" if left else "left",
                va="bottom",
            )
        return figure
