"""A strip chart of times: a row per name and a mark per run, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.chart_style import FONT, LIGHT, LINES, new_figure, shortened, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW = 24
_LEAST_S = 0.01
"""Start of the axis."""


@dataclass(frozen=True, slots=True)
class StripRow:
    """The runs of one row; the rows of a group are below its heading."""

    group: str
    name: str
    values_s: Sequence[float]


def strip_chart(rows: Sequence[StripRow], label: str) -> Figure | None:
    """Draw the rows in order, with a label for the axis; None without rows."""
    if not rows:
        return None
    groups = list(dict.fromkeys(row.group for row in rows))
    with style():
        figure, grid = new_figure(60 + _ROW * (len(rows) + len(groups)))
        axes, place = grid[0], 0
        ticks: list[tuple[int, str]] = []
        for group in groups:
            axes.text(_LEAST_S, place, group, va="center", color=LIGHT["muted"], fontsize=FONT - 1)
            place += 1
            for row in (row for row in rows if row.group == group):
                colour = LINES[groups.index(group) % len(LINES)]
                values = [max(value, _LEAST_S) for value in row.values_s]
                axes.plot(values, [place] * len(values), "o", ms=6, mfc="none", mew=1.6, color=colour, clip_on=False)
                ticks.append((place, shortened(row.name, 24)))
                place += 1
        axes.set_xscale("log")
        axes.set_xlim(_LEAST_S, max(max(row.values_s) for row in rows) * 1.3)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylim(place - 0.5, -0.7)
        axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel(label)
        return figure
