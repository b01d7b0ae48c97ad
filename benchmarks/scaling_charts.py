"""One figure for each varied field: deliveries per second, CPU per delivery and latency, one above the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.scaling_claims import CostPoint, medians
from harness.report.chart_style import FONT, LIGHT, PART_COLOURS, lay_out, spread, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 560, 520


class DrawnPoint(CostPoint, Protocol):
    """The values of a run in a figure."""

    @property
    def p50_ms(self) -> float: ...
    @property
    def p99_ms(self) -> float: ...


Read = Callable[[DrawnPoint], float | None]
End = tuple[float, float, str, str]
"""The end of a line, x and y, its name and its colour."""


def draw(points: Sequence[DrawnPoint], label: str, path: Path) -> None:
    """Write the figure as SVG: the median over rounds as a line, each run as a dot, hollow if it was refused."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, sharex=True)
        _line(top, points, lambda p: p.deliveries_hz, LIGHT["ink"], "")
        top.set_title("deliveries per second", loc="left")
        middle.set_title("CPU microseconds per delivery", loc="left")
        bottom.set_title("latency, ms", loc="left")
        bottom.set_xlabel(label)
        ends = {
            middle: (
                _line(middle, points, lambda p: p.server_us, PART_COLOURS["server"], "replicas"),
                _line(middle, points, lambda p: p.load_us, LIGHT["grey"], "Locust"),
            ),
            bottom: (
                _line(bottom, points, lambda p: p.p99_ms, LIGHT["orange"], "p99"),
                _line(bottom, points, lambda p: p.p50_ms, LIGHT["green"], "p50"),
            ),
        }
        for axes in (top, middle, bottom):
            _finish(axes, points)
        lay_out(top)
        for axes, of_axes in ends.items():
            _name(axes, [end for end in of_axes if end is not None])
        path.write_text(to_svg(figure), encoding="utf-8")


def _line(axes: Axes, points: Sequence[DrawnPoint], read: Read, colour: str, name: str) -> End | None:
    for point in points:
        figure = read(point)
        if figure is not None:
            face = colour if point.valid else LIGHT["surface"]
            axes.plot([point.value], [figure], "o", color=colour, markerfacecolor=face, markersize=5)
    line = medians(points, read)
    if not line:
        return None
    axes.plot(list(line), list(line.values()), color=colour, linewidth=1.5)
    return *max(line.items()), name, colour


def _name(axes: Axes, ends: Sequence[End]) -> None:
    """Write each line's name next to its end, without overlaps."""
    pixels = [float(axes.transData.transform((x, y))[1]) for x, y, _, _ in ends]
    box = axes.get_window_extent()
    places = spread(pixels, [FONT * 1.25] * len(ends), float(box.y0), float(box.y1))
    for (x, y, name, colour), pixel, place in zip(ends, pixels, places, strict=True):
        axes.annotate(name, (x, y), (8, place - pixel), textcoords="offset points", color=colour, va="center")


def _finish(axes: Axes, points: Sequence[DrawnPoint]) -> None:
    values = sorted({point.value for point in points})
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()
    axes.set_xlim(values[0] / 1.15, values[-1] * (values[-1] / values[0]) ** 0.14 * 1.05)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.10g}")
    axes.grid(axis="y")
