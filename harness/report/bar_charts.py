"""Bar charts, drawn by the same code for the report, files and notebooks.

Each function draws within `chart_style.style()` and returns a matplotlib Figure, or None if there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.contracts.capacity import Capacity
from harness.analysis.capacity_answers import harness_ended
from harness.analysis.standings import Standing
from harness.analysis.statistics import Interval
from harness.report.chart_style import (
    FONT,
    HOP_COLOURS,
    LIGHT,
    PART_COLOURS,
    lay_out,
    new_figure,
    shortened,
    spread,
    style,
    text_width,
)
from harness.results.run_record import HOPS, PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOP_NAMES = {"schedule": "schedule lag", "broker": "broker", "fanout": "fan-out", "service": "service, whole"}
LOAD_UNITS = {"clients": "clients", "rate": "events per second", "replicas": "replicas", "topics": "topics"}
_ROW = 25


def hops(standings: Sequence[Standing]) -> Figure | None:
    """Mean latency per contender, stacked by hop; means are used because only they add up."""
    rows = {standing.contender: _means(standing) for standing in standings if standing.runs}
    return _stacked(rows, HOP_COLOURS, HOP_NAMES, "mean latency, ms")


def _means(standing: Standing) -> dict[str, float]:
    """Mean latency by hop. An endpoint does not report its hops, so everything after the send counts as one."""
    pooled = {hop: standing.pooled(hop) for hop in HOPS}
    means = {hop: histogram.mean_ms() for hop, histogram in pooled.items() if histogram.count}
    if set(means) == {"schedule"}:
        means["service"] = max(0.0, standing.pooled().mean_ms() - means["schedule"])
    return means


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


def capacities(found: Sequence[Capacity], names: Sequence[str] = ()) -> Figure | None:
    """Draw one row per search: the largest load that held, and the next load that broke. The latter has a cross, or a
    triangle if only the harness reached its limit. All searches vary the same axis.

    Rows are labelled with the searches' `names`, or with their contenders.
    """
    named = zip(names or [search.contender for search in found], found, strict=True)
    rows = sorted(((name, s) for name, s in named if s.held is not None), key=lambda row: -(row[1].held or 0))
    if not rows:
        return None
    labels, held = [name for name, _ in rows], [search for _, search in rows]
    furthest = max(max(search.held or 0, search.broke or 0) for search in held)
    with style():
        figure, grid = new_figure(_ROW * len(held) + 60)
        axes = grid[0]
        for place, search in enumerate(held):
            load = search.held or 0
            axes.barh(place, load, height=0.62, color=LIGHT["blue"], lw=0)
            harness = harness_ended(search)
            if search.broke is not None:
                colour, marker = (LIGHT["grey"], ">") if harness else (LIGHT["orange"], "x")
                axes.plot([load, search.broke], [place, place], color=colour, lw=1.5)
                axes.plot(search.broke, place, marker=marker, color=colour, ms=7, mew=2)
            end = max(load, search.broke or 0) + furthest * 0.03
            axes.text(end, place, f"{load:,}{' or more' if harness else ''}", va="center", fontsize=FONT - 1)
        axes.set_yticks(range(len(held)), [shortened(name) for name in labels], color=LIGHT["ink"])
        axes.set_ylim(len(held) - 0.4, -0.6)
        axes.set_xlim(0, furthest * 1.25)
        axes.set_xlabel(LOAD_UNITS.get(held[0].vary, held[0].vary))
        _quiet(axes)
        return figure


def _quiet(axes: Axes) -> None:
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def _stacked(
    rows: Mapping[str, Mapping[str, float]], colours: Mapping[str, str], names: Mapping[str, str], label: str
) -> Figure | None:
    if not rows:
        return None
    with style():
        figure, grid = new_figure(_ROW * len(rows) + 96)
        axes = grid[0]
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
        _quiet(axes)
        present = {part for parts in rows.values() for part in parts}
        _name_segments(axes, present, next(iter(rows.values())), colours, names)
        return figure


def _name_segments(
    axes: Axes,
    present_in_any: Collection[str],
    first: Mapping[str, float],
    colours: Mapping[str, str],
    names: Mapping[str, str],
) -> None:
    """Label the parts above the first bar, each with a line to its segment."""
    present = [part for part in colours if part in present_in_any]
    starts = np.cumsum([0.0, *(first.get(part, 0.0) for part in present)])
    centres = [(starts[i] + starts[i + 1]) / 2 for i in range(len(present))]
    lay_out(axes)
    box = axes.get_window_extent()
    widths = [text_width(axes, names[part], weight="bold") + FONT for part in present]
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
