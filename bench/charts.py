"""The charts of a comparison, each from its standings: drawn once, for the report, for files and for notebooks.

Each function draws within `chart_style.style()` and returns a matplotlib Figure, or None when there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.chart_style import (
    FONT,
    HOP_COLOURS,
    LIGHT,
    LINES,
    PART_COLOURS,
    label_lines,
    new_figure,
    shortened,
    spread,
    style,
    text_width,
)
from bench.model import HOPS, LATENCY, PARTS
from bench.standings import FLOOR, Standing, percentile_band
from bench.stats import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOP_NAMES = {"schedule": "schedule lag", "broker": "broker", "fanout": "fan-out"}
_NINES = {50: "50", 90: "90", 99: "99", 99.9: "99.9", 99.99: "99.99", 99.999: "99.999"}
_MEDIAN = float(np.log10(2))  # 50 % on the axis of nines
_ROW = 25
MANY = len(LINES)
"""More lines than this get a small chart each."""


def hops(standings: Sequence[Standing]) -> Figure | None:
    """Mean latency per contender, stacked by hop: only means add up."""
    rows = {
        standing.contender: {hop: standing.pooled(hop).mean_ms() for hop in HOPS}
        for standing in standings
        if standing.runs
    }
    return _stacked(rows, HOP_COLOURS, HOP_NAMES, "mean latency, ms")


def cpu(standings: Sequence[Standing]) -> Figure | None:
    """CPU seconds per million deliveries per contender, stacked by part."""
    rows: dict[str, dict[str, float]] = {}
    for standing in standings:
        used = {part: standing.cpu_s_per_million(part) for part in PARTS}
        seconds = {
            part: value.estimate if isinstance(value, Interval) else value
            for part, value in used.items()
            if value is not None
        }
        if seconds:
            rows[standing.contender] = seconds
    return _stacked(rows, PART_COLOURS, {part: part for part in PARTS}, "CPU seconds per million deliveries")


def memory(standings: Sequence[Standing]) -> Figure | None:
    """Peak resident memory per contender, stacked by part."""
    rows = {
        standing.contender: {part: mb for part in PARTS if (mb := standing.rss_mb(part)) is not None}
        for standing in standings
        if any(run.usage for run in standing.runs)
    }
    return _stacked(rows, PART_COLOURS, {part: part for part in PARTS}, "peak resident memory, MB")


def _stacked(
    rows: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], names: Mapping[str, str], label: str
) -> Figure | None:
    if not rows:
        return None
    with style():
        figure, grid = new_figure(_ROW * len(rows) + 96)
        axes: Axes = grid[0, 0]
        longest = max(sum(parts.values()) for parts in rows.values()) or 1.0
        for place, parts in enumerate(rows.values()):
            left = 0.0
            for part, colour in colours.items():
                width = parts.get(part, 0.0)
                axes.barh(place, width, left=left, height=0.62, color=colour, lw=0)
                left += width
            total = f"{left:,.0f}" if left >= 99.5 else f"{left:#.3g}"
            axes.text(left + longest * 0.015, place, total, va="center", fontsize=FONT - 1)
        axes.set_yticks(range(len(rows)), [shortened(name) for name in rows], color=LIGHT["ink"])
        axes.set_ylim(len(rows) - 0.4, -1.6)
        axes.set_xlim(0, longest * 1.16)
        axes.set_xlabel(label)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        _name_segments(axes, max(rows.values(), key=len), next(iter(rows.values())), colours, names)
        return figure


def _name_segments(
    axes: Axes,
    fullest: Mapping[str, float],
    first: Mapping[str, float],
    colours: Mapping[str, str],
    names: Mapping[str, str],
) -> None:
    """Name the parts above the first bar, each joined to its segment by a line."""
    present = [part for part in colours if part in fullest]
    starts = np.cumsum([0.0, *(first.get(part, 0.0) for part in present)])
    centres = [(starts[i] + starts[i + 1]) / 2 for i in range(len(present))]
    axes.figure.canvas.draw()
    box = axes.get_window_extent()
    widths = [text_width(axes, names[part], fontweight="bold") + FONT for part in present]
    wanted = [float(axes.transData.transform((centre, 0))[0]) for centre in centres]
    places = spread(wanted, widths, float(box.x0), float(box.x1))
    for part, centre, place in zip(present, centres, places, strict=True):
        x = axes.transData.inverted().transform((place, 0))[0]
        axes.annotate(
            names[part],
            xy=(centre, -0.31),
            xytext=(x, -1.15),
            ha="center",
            va="center",
            fontweight="bold",
            color=colours[part] if colours[part] != LIGHT["pale"] else LIGHT["muted"],
            arrowprops={"arrowstyle": "-", "color": LIGHT["muted"], "lw": 0.8, "shrinkA": 0, "shrinkB": 0},
        )


def percentiles(standings: Sequence[Standing], hop: str = LATENCY) -> Figure | None:
    """Latency by percentile from the median up, on an axis of nines, with a band of what resampled rounds give."""
    curves: dict[str, Any] = {}
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


def _columns(band: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.maximum(np.array([(point.estimate, point.low, point.high) for point in band]), 1e-3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def timeline(standings: Sequence[Standing]) -> Figure | None:
    """p99 of each second of a run: the median over rounds, with a band from the lowest to the highest round."""
    curves: dict[str, Any] = {}
    for standing in standings:
        by_second: dict[float, list[float]] = {}
        for run in standing.runs:
            for row in run.timeline:
                by_second.setdefault(row.t_s, []).append(max(row.p99_ms, 1e-3))
        if len(by_second) > 1:
            seconds = sorted(by_second)
            values = [by_second[second] for second in seconds]
            columns = (np.array([pick(found) for found in values]) for pick in (np.median, np.min, np.max))
            curves[standing.contender] = (np.array(seconds), *columns)
    if not curves:
        return None
    last = max(curve[0][-1] for curve in curves.values())
    return _lines(curves, "time, s", "p99 of that second, ms", lambda axes: axes.set_xlim(0, last))


def fanout_by_clients(standings: Sequence[Standing]) -> Figure | None:
    """Fan-out p50 against clients per replica; needs runs at two or more of them."""
    curves: dict[str, Any] = {}
    for standing in standings:
        at: dict[float, list[Any]] = {}
        for run in standing.runs:
            if "fanout" in run.histograms:
                at.setdefault(run.scenario.clients / run.scenario.replicas, []).append(run.histograms["fanout"])
        if len(at) > 1:
            bands = [percentile_band(at[clients], [50])[0] for clients in sorted(at)]
            curves[standing.contender] = (np.array(sorted(at)), *_columns(bands))
    if not curves:
        return None
    return _lines(curves, "clients per replica", "fan-out p50, ms", lambda axes: axes.set_xlim(0))


def _lines(curves: Mapping[str, Any], x_label: str, y_label: str, finish: Callable[[Axes], object]) -> Figure:
    """Lines with bands: in one chart while their labels fit, else a small chart for each contender."""
    low = min(float(curve[2].min()) for curve in curves.values())
    high = max(float(curve[3].max()) for curve in curves.values())
    with style():
        many = len(curves) > MANY
        rows = (len(curves) + 1) // 2
        figure, grid = new_figure(120 * rows + 40, rows, 2) if many else new_figure(280)
        for axes in grid.flat:
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
            _together(grid[0, 0], curves)
        if many:
            figure.supxlabel(x_label, color=LIGHT["muted"], fontsize=FONT)
            figure.supylabel(y_label, color=LIGHT["muted"], fontsize=FONT)
        else:
            grid[0, 0].set_xlabel(x_label)
            grid[0, 0].set_ylabel(y_label)
            label_lines(
                grid[0, 0], [(c[0][-1], c[1][-1], name, _colour(name, i)) for i, (name, c) in enumerate(curves.items())]
            )
        return figure


def _colour(name: str, place: int) -> str:
    return LIGHT["muted"] if name == FLOOR else LINES[place]


def _together(axes: Axes, curves: Mapping[str, Any]) -> None:
    for place, (name, (x, middle, low, high)) in enumerate(curves.items()):
        colour = _colour(name, place)
        axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
        axes.plot(x, middle, color=colour, lw=2)


def _one_each(grid: np.ndarray, curves: Mapping[str, Any]) -> None:
    """Each contender's curve over the range of them all in grey."""
    for axes in list(grid.flat)[len(curves) :]:
        axes.set_visible(False)
    x_all = np.unique(np.concatenate([curve[0] for curve in curves.values()]))
    every = [np.interp(x_all, x, middle, right=np.nan) for x, middle, *_ in curves.values()]
    lowest, highest = np.nanmin(every, axis=0), np.nanmax(every, axis=0)
    for axes, (name, (x, middle, low, high)) in zip(grid.flat, curves.items(), strict=False):
        axes.fill_between(x_all, lowest, highest, color=LIGHT["grid"], lw=0)
        axes.fill_between(x, low, high, color=LIGHT["blue"], alpha=0.25, lw=0)
        axes.plot(x, middle, color=LIGHT["blue"], lw=2)
        axes.set_title(shortened(name), loc="left", color=LIGHT["ink"])
