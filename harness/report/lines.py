"""A line chart: one line per contender, labelled at its end, on either scale, with values for the pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.analysis.judgement_words import ms
from harness.analysis.standings import FLOOR
from harness.report.chart_style import LIGHT, LINES, label_lines, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Curve = tuple[Floats, Floats, Floats, Floats]
"""x, and y with its lower and upper bounds."""
Tip = tuple[float, str]
"""The horizontal position in SVG units, and the values there, one per line of text."""
MANY = len(LINES)
"""A chart with more lines leaves out the bands, because they would overlap; the values still have the range."""
_PROGRAMS = ("valkey", "redis", "nats", "rabbitmq", "mosquitto")
_DASHES = ("solid", (0, (5, 2)), (0, (1.2, 1.6)), (0, (5, 1.5, 1.2, 1.5)))
"""The first contender of a program has a solid line, the others have dashes."""
_ROW = 17


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves by contender, and the style of their axes."""

    curves: Mapping[str, Curve]
    x_label: str
    y_label: str
    finish: Callable[[Axes], object]
    """Finishes the horizontal axis."""
    marks: Sequence[tuple[float, str]]
    """Positions at which the pointer shows values, with their labels."""

    @property
    def logarithmic(self) -> bool:
        """Whether the default scale is logarithmic: a linear one shows only the highest curve if they are far apart."""
        low = min(float(curve[2].min()) for curve in self.curves.values())
        high = max(float(curve[3].max()) for curve in self.curves.values())
        return high / low > 30

    def figure(self, log: bool | None = None) -> Figure:
        """The chart on the requested scale, or on the default one."""
        log = self.logarithmic if log is None else log
        styles = line_styles(list(self.curves))
        with style():
            figure, grid = new_figure(max(280, _ROW * len(self.curves) + 64))
            axes = grid[0]
            if log:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter("")
            else:
                axes.set_ylim(
                    0, max(float(curve[3 if self._banded else 1].max()) for curve in self.curves.values()) * 1.05
                )
            axes.grid()
            axes.set_axisbelow(True)
            axes.tick_params(axis="x", pad=9)
            self.finish(axes)
            for name, (x, middle, low, high) in self.curves.items():
                colour, dashes = styles[name]
                if self._banded:
                    axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
                axes.plot(x, middle, color=colour, lw=2, ls=dashes)
            axes.set_xlabel(self.x_label)
            axes.set_ylabel(self.y_label)
            label_lines(axes, [(c[0][-1], c[1][-1], name, styles[name][0]) for name, c in self.curves.items()])
            return figure

    @property
    def _banded(self) -> bool:
        return len(self.curves) <= MANY

    def tips(self, figure: Figure) -> tuple[Tip, ...]:
        """The values at each mark, lowest first, with their positions on a figure of this chart."""
        axes = figure.axes[0]
        left, right = axes.get_xlim()
        found = []
        for x, called in self.marks:
            here = [
                (float(np.interp(x, xs, middle)), name, float(np.interp(x, xs, low)), float(np.interp(x, xs, high)))
                for name, (xs, middle, low, high) in self.curves.items()
                if xs[0] - 1e-9 <= x <= xs[-1] + 1e-9
            ]
            if here and left <= x <= right:
                rows = [f"{name} {ms(value)} ({ms(low)}–{ms(high)})" for value, name, low, high in sorted(here)]
                found.append(
                    (round(float(axes.transData.transform((x, axes.get_ylim()[1]))[0]), 1), "\n".join([called, *rows]))
                )
        return tuple(found)


def line_styles(names: Sequence[str]) -> dict[str, tuple[str, object]]:
    """A colour for each program and dashes for its contenders, the same in all charts with these names."""
    programs = [_program(name) for name in names if name != FLOOR]
    spare = [name for name in dict.fromkeys(programs) if name not in _PROGRAMS]
    of_program = {name: LINES[place % len(LINES)] for place, name in enumerate(_PROGRAMS)}
    free = [colour for colour in LINES if colour not in {of_program[name] for name in programs if name in _PROGRAMS}]
    of_program |= {name: (free + LINES)[place % (len(free) + len(LINES))] for place, name in enumerate(spare)}
    used: dict[str, int] = {}
    found: dict[str, tuple[str, object]] = {}
    for name in names:
        if name == FLOOR:
            found[name] = (LIGHT["muted"], "solid")
            continue
        program = _program(name)
        place = used.get(program, 0)
        used[program] = place + 1
        found[name] = (of_program[program], _DASHES[place % len(_DASHES)])
    return found


def _program(name: str) -> str:
    """The key for the colour: a built-in contender's program, otherwise the contender's name."""
    first = name.partition(" ")[0].partition("#")[0].partition("-")[0]
    return first if first in _PROGRAMS else name
