"""The style of charts: colours for colour-blind readers, labels next to what they name, SVG for page and file.

Charts are drawn in the light colours. The page replaces each colour with a CSS variable, so that it follows the
reader's light or dark theme, and print. harness/report/templates/style.css.j2 takes the variables from THEMES.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # matplotlib takes half a second to import, so only drawing code imports it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 420
"""The width of every chart, in SVG units: on a 390-pixel phone its 13-unit text is still 10 pixels."""
FONT = 13
_LEADER = 14  # between a line's end and its name

THEMES: dict[str, dict[str, str]] = {
    "light": {
        "ink": "#1b1f24",
        "muted": "#5f6873",
        "grid": "#dfe3e8",
        "surface": "#ffffff",
        "blue": "#0072b2",
        "orange": "#d55e00",
        "green": "#00806a",
        "pink": "#b5458f",
        "ochre": "#8a6d00",
        "violet": "#5b4fc4",
        "grey": "#8a929c",
        "pale": "#c3cad2",
    },
    "dark": {
        "ink": "#e8ebef",
        "muted": "#a3adb8",
        "grid": "#333a43",
        "surface": "#191d22",
        "blue": "#4fb0ee",
        "orange": "#ff8b47",
        "green": "#35c9a5",
        "pink": "#ee8fc9",
        "ochre": "#d9b93b",
        "violet": "#a99cff",
        "grey": "#7d8793",
        "pale": "#4a535e",
    },
}
LIGHT = THEMES["light"]
LINES = [LIGHT[name] for name in ("blue", "orange", "green", "pink", "ochre", "violet")]
HOP_COLOURS = {
    "schedule": LIGHT["grey"],
    "broker": LIGHT["orange"],
    "fanout": LIGHT["blue"],
    "service": LIGHT["ochre"],
}
PART_COLOURS = {
    "broker": LIGHT["orange"],
    "server": LIGHT["blue"],
    "generator": LIGHT["grey"],
    "load": LIGHT["pale"],
}

_RC: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fanbench",  # the same figure gets the same ids, so a regenerated report is identical
    "font.family": "DejaVu Sans",  # included in matplotlib, and wide: text that fits in it fits in any reader's font
    "font.size": FONT,
    "axes.labelsize": FONT,
    "axes.titlesize": FONT,
    "xtick.labelsize": FONT - 1,
    "ytick.labelsize": FONT - 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LIGHT["grid"],
    "axes.labelcolor": LIGHT["muted"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "text.color": LIGHT["ink"],
    "grid.color": LIGHT["grid"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.facecolor": LIGHT["surface"],
    "axes.facecolor": LIGHT["surface"],
    "text.parse_math": False,  # a contender's name is plain text, even with dollar signs
}


def style() -> AbstractContextManager[None]:
    """A context in which figures use fanbench's fonts and colours and keep text as text."""
    import matplotlib as mpl

    return mpl.rc_context(_RC)  # type: ignore[arg-type]  # its stubs want literal keys


def new_figure(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure WIDTH wide and `height` high in SVG units, with rows x columns axes in row order.

    It does not use pyplot, so a notebook keeps its backend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)


def shortened(name: str, most: int = 20) -> str:
    """Shorten a long name in the middle; the table next to the chart has the full name."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Return centres close to `wanted` for intervals of these sizes, which do not overlap and stay within low..high.

    The order is kept. If there is too little room, they overlap evenly.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    shrink = min(1.0, (high - low) / sum(sizes)) if sizes else 1.0
    centres = [0.0] * len(wanted)
    edge = low
    for i in order:
        centres[i] = max(wanted[i], edge + sizes[i] * shrink / 2)
        edge = centres[i] + sizes[i] * shrink / 2
    edge = high
    for i in reversed(order):
        centres[i] = min(centres[i], edge - sizes[i] * shrink / 2)
        edge = centres[i] - sizes[i] * shrink / 2
    return centres


def lay_out(axes: Axes) -> None:
    """Fix the positions of a figure's axes, so that later drawing does not move them."""
    figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]
    figure.draw_without_rendering()
    figure.set_layout_engine(None)


def text_width(axes: Axes, text: str, weight: str = "normal") -> float:
    """The width of the text in SVG units."""
    probe = axes.text(0, 0, text, fontweight=weight)
    width = float(probe.get_window_extent().width)
    probe.remove()
    return width


def label_lines(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Label lines at the right of the figure's only axes, from the (x, y, name, colour) of each end, without overlaps."""
    names = [shortened(name, 18) for _, _, name, _ in ends]
    room = max(text_width(axes, name) for name in names) + _LEADER + 2
    layout = axes.get_figure(root=True).get_layout_engine()  # type: ignore[union-attr]
    layout.set(rect=(0, 0, 1 - room / WIDTH, 1))  # type: ignore[union-attr,call-arg]  # it is the constrained one
    lay_out(axes)
    box = axes.get_window_extent()
    pixels = [axes.transData.transform((x, y)) for x, y, _, _ in ends]
    heights = [FONT * 1.25] * len(ends)
    places = spread([float(point[1]) for point in pixels], heights, float(box.y0), float(box.y1))
    for (x, y, _, colour), name, place in zip(ends, names, places, strict=True):
        axes.annotate(
            name,
            xy=(x, y),
            xytext=(1 + _LEADER / box.width, (place - box.y0) / box.height),
            textcoords="axes fraction",
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.8, "shrinkA": 1, "shrinkB": 1, "relpos": (0, 0.5)},
        )


def to_svg(figure: Figure) -> str:
    """Return the figure as an SVG document in the light colours."""
    text = io.StringIO()
    with style():
        if figure.get_layout_engine() is not None:
            lay_out(figure.axes[0])
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue().replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")


def for_page(svg: str, name: str, description: str) -> str:
    """Return an SVG document as an element of a page: themed, named for screen readers, with unique ids."""
    from markupsafe import escape

    body = svg[svg.index("<svg") :]
    for variable, colour in LIGHT.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
    size = r' (?:width|height)="[^"]*pt"'
    head = re.sub(size, "", body[: body.index(">")])
    return f'{head} role="img" aria-label="{escape(description)}"{body[body.index(">") :]}'
