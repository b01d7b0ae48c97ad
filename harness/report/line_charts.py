"""Line charts of a comparison: percentiles, time, clients per replica, and load in a capacity search.

Like harness/report/bar_charts.py: each function returns a matplotlib Figure, or None when there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.contracts.capacity import Capacity
from core.histogram import Histogram
from harness.analysis.standings import FLOOR, Standing, percentile_band
from harness.analysis.statistics import Interval
from harness.report.bar_charts import LOAD_UNITS
from harness.report.chart_style import FONT, LIGHT, LINES, label_lines, new_figure, shortened, style
from harness.results.run_record import LATENCY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NINES = {50: "50", 90: "90", 99: "99", 99.9: "99.9", 99.99: "99.99", 99.999: "99.999"}
_MEDIAN = float(np.log10(2))  # 50 % on the axis of nines
Floats = npt.NDArray[np.float64]
Curve = tuple[Floats, Floats, Floats, Floats]
"""x, and y with its lower and upper bound."""
MANY = len(LINES)
"""More lines than this get a small chart each."""


def percentiles(standings: Sequence[Standing], hop: str = LATENCY) -> Figure | None:
    """Latency by percentile from the median up, on an axis of nines, with a band of what resampled rounds give."""
    curves: dict[str, Curve] = {}
    for standing in standings:
        histograms = [run.histograms[hop] for run in standing.runs if hop in run.histograms]
        count = sum(histogram.count for histogram in histograms)
        if not count:
            continue
        # Beyond 1 - 10/count a percentile rests on fewer than ten deliveries.
        nines = np.linspace(_MEDIAN, max(1.0, np.log10(count / 10)), 50)
        band = percentile_band(histograms, (100 * (1 - 10**-nines)).tolist())
        curves[standing.contender] = (nines, *_columns(band))
    if not curves:
        return None
    furthest = max(curve[0][-1] for curve in curves.values())

    def finish(axes: Axes) -> None:
        ticks = {-np.log10(1 - q / 100): text for q, text in _NINES.items() if -np.log10(1 - q / 100) <= furthest}
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlim(_MEDIAN, furthest)

    return _lines(curves, "percentile of deliveries", "latency, ms", finish)


def _columns(band: Sequence[Interval]) -> tuple[Floats, Floats, Floats]:
    rows: Floats = np.maximum(np.array([(point.estimate, point.low, point.high) for point in band]), 1e-3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def timeline(standings: Sequence[Standing]) -> Figure | None:
    """p99 of each second of a run: the median over rounds, with a band from the lowest to the highest round."""
    curves: dict[str, Curve] = {}
    for standing in standings:
        by_second: dict[float, list[float]] = {}
        for run in standing.runs:
            for row in run.timeline:
                by_second.setdefault(row.t_s, []).append(max(row.p99_ms, 1e-3))
        if len(by_second) > 1:
            seconds = sorted(by_second)
            values = [by_second[second] for second in seconds]
            middle, low, high = (np.array([pick(found) for found in values]) for pick in (np.median, np.min, np.max))
            curves[standing.contender] = (np.array(seconds, np.float64), middle, low, high)
    if not curves:
        return None
    last = max(curve[0][-1] for curve in curves.values())
    return _lines(curves, "time, s", "p99 of that second, ms", lambda axes: axes.set_xlim(0, last))


def fanout_by_clients(standings: Sequence[Standing]) -> Figure | None:
    """Fan-out p50 against clients per replica; needs runs at two or more of them."""
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
    return _lines(curves, "clients per replica", "fan-out p50, ms", lambda axes: axes.set_xlim(0, most))


def load_curves(searches: Mapping[str, Capacity]) -> Figure | None:
    """p99 over the load, a curve for each search by its name; runs that a check refused are no part of it."""
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
    return _lines(curves, LOAD_UNITS.get(unit, unit), "p99, ms", lambda axes: axes.set_xlim(0, most))


def knee(search: Capacity) -> Figure | None:
    """p99 of each run of a capacity search against its load; those that broke are crosses."""
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


def _lines(curves: Mapping[str, Curve], x_label: str, y_label: str, finish: Callable[[Axes], object]) -> Figure:
    """Lines with bands: in one chart while their labels fit, else a small chart for each contender."""
    low = min(float(curve[2].min()) for curve in curves.values())
    high = max(float(curve[3].max()) for curve in curves.values())
    with style():
        many = len(curves) > MANY
        rows = (len(curves) + 1) // 2
        figure, grid = new_figure(120 * rows + 40, rows, 2) if many else new_figure(280)
        for axes in grid:
            if high / low > 30:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
            else:
                axes.set_ylim(0, high * 1.05)
            axes.grid()
            axes.set_axisbelow(True)
            axes.tick_params(axis="x", pad=6)
            finish(axes)
        if many:
            _one_each(grid, curves)
        else:
            _together(grid[0], curves)
        if many:
            figure.supxlabel(x_label, color=LIGHT["muted"], fontsize=FONT)
            figure.supylabel(y_label, color=LIGHT["muted"], fontsize=FONT)
        else:
            grid[0].set_xlabel(x_label)
            grid[0].set_ylabel(y_label)
            label_lines(
                grid[0], [(c[0][-1], c[1][-1], name, _colour(name, i)) for i, (name, c) in enumerate(curves.items())]
            )
        return figure


def _colour(name: str, place: int) -> str:
    return LIGHT["muted"] if name == FLOOR else LINES[place]


def _together(axes: Axes, curves: Mapping[str, Curve]) -> None:
    for place, (name, (x, middle, low, high)) in enumerate(curves.items()):
        colour = _colour(name, place)
        axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
        axes.plot(x, middle, color=colour, lw=2)


def _one_each(grid: Sequence[Axes], curves: Mapping[str, Curve]) -> None:
    """Each contender's curve over the range of them all in grey."""
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    x_all = np.unique(np.concatenate([curve[0] for curve in curves.values()]))
    every = [np.interp(x_all, x, middle, right=np.nan) for x, middle, *_ in curves.values()]
    lowest, highest = np.nanmin(every, axis=0), np.nanmax(every, axis=0)
    for axes, (name, (x, middle, low, high)) in zip(grid, curves.items(), strict=False):
        axes.fill_between(x_all, lowest, highest, color=LIGHT["grid"], lw=0)
        axes.fill_between(x, low, high, color=LIGHT["blue"], alpha=0.25, lw=0)
        axes.plot(x, middle, color=LIGHT["blue"], lw=2)
        axes.set_title(shortened(name), loc="left", color=LIGHT["ink"])
