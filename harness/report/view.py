"""The content of a report as texts, tables and charts; the template only lays it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.scenario import Scenario
from harness.analysis.judgement_words import listed, ms
from harness.analysis.standings import Standing
from harness.analysis.statistics import CONFIDENCE, Interval
from harness.analysis.verdict import offered_workload
from harness.report.lines import Lines, Tip
from harness.results.run_record import OTHERS, Comparison
from harness.results.summary import value_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = f"{CONFIDENCE:.0%}"
_UNSEEN = {
    "broker": "CPU and memory of the broker",
    "server": "CPU and memory of the replicas",
    "generator": "CPU and memory of the generator",
    "load": "CPU and memory of the load",
    OTHERS: "what else kept the machines busy",
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart that the report has if there are values for it."""

    name: str
    title: str
    text: str
    draw: Callable[[Sequence[Standing]], Figure | Lines | None]
    otherwise: str = ""
    """The text if there are no values: the command that would measure them."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, with its content and how to read it."""

    name: str
    title: str
    text: str
    svg: str
    """The document that is saved in charts/."""
    other_svg: str = ""
    """The same chart on the other scale; empty if there is only one."""
    other_scale: str = ""
    """The name of the other scale."""
    tips: tuple[Tip, ...] = ()
    """The values that the pointer shows, with their positions."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    kind: str = ""
    """`text` is left-aligned. `good`, `warn` and `bad` have a colour, and the cell's text says the same."""
    small: str = ""
    """A second line."""
    link: str = ""
    """The target of a link on the pages of a site."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row names it."""

    title: str
    headings: list[str]
    rows: list[list[Cell]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """The whole report of one result directory."""

    comparison: Comparison
    verdict: list[str]
    charts: list[Chart]
    tables: list[Table]
    method: list[str]
    decision: Table | None = None
    """The decision table, on the first screen."""
    search: bool = False
    """Whether it is a capacity search: in print, a page of several shows charts of all searches instead of its own."""
    next_steps: tuple[str, ...] = ()
    """The commands that fill the dashes of the decision table."""
    not_drawn: tuple[str, ...] = ()
    """The charts without values, each with the command that would measure them."""


def number(value: Interval | float | None) -> str:
    """Round to three significant digits; a dash if it was not measured."""
    if value is None:
        return "–"
    figure = value.estimate if isinstance(value, Interval) else value
    return f"{figure:,.0f}" if abs(figure) >= 99.5 else f"{figure:.3g}"


NOT_WATCHED = "not watched"
"""The text for a figure that was not watched."""


def of_part(standing: Standing, part: str, value: Interval | float | None) -> str:
    """A figure of a part's CPU or memory; a text if it was not watched."""
    return NOT_WATCHED if value is None and standing.not_watched(part) else number(value)


def watched_in_words(comparison: Comparison) -> str:
    """Where the parts ran, and which of them were not watched."""
    unseen = dict.fromkeys(part for run in comparison.runs for part in run.not_watched)
    if not unseen:
        return "All parts shared the machine below: transfer ratios to another machine, not absolute times."
    parts = listed([_UNSEEN[part] for part in unseen])
    return (
        f"Some of it may have run on other machines than the one below. Not watched: {parts}. Their figures are missing, which is not 0, and CPU per delivery "
        "is not judged if a part of it is missing."
    )


def refused_runs(comparison: Comparison) -> list[Table]:
    """The tables of runs that are not ranked, with their figures and the reason."""
    rows = []
    for run in comparison.runs:
        if not run.valid:
            p99 = value_of(run, "p99_ms")
            figures = (str(run.round), "–" if p99 is None else ms(p99), f"{run.lost:,}" if run.expected else "–")
            rows.append([Cell(run.contender), *map(Cell, figures), Cell("; ".join(run.problems), "text")])
    note = "A refused run is kept and shown but never ranked: its figures say more about the measurement than about the broker."
    headings = ["contender", "round", "p99 ms", "lost", "reason, and what to do"]
    return [Table("Refused runs", headings, rows, note)] if rows else []


def events_in_words(scenario: Scenario) -> str:
    """The published events: size and schedule."""
    rules = scenario.sessions
    if rules is None:
        size = f"{scenario.payload_bytes} bytes each" + (
            " besides a compact stamp" if scenario.stamp == "compact" else ""
        )
        return f"{size}, schedule {scenario.schedule}, topics {scenario.topics}"
    return (
        f"{rules.payload_bytes[0]} to {rules.payload_bytes[1]} bytes each in addition to a {scenario.stamp} stamp: {rules.arrivals_hz:g} sessions "
        f"begin per second, each a topic that lasts {rules.lifetime_s[0]:g} to {rules.lifetime_s[1]:g} s"
    )


def method(comparison: Comparison, how: Sequence[str]) -> list[str]:
    """How the figures were measured; `how` adds details of this kind of measurement."""
    scenario = comparison.scenario
    return [
        f"Workload: {offered_workload(comparison)}, {events_in_words(scenario)}; {scenario.warmup_s:g} s of warm-up, then "
        f"{scenario.duration_s:g} s measured.",
        *how,
        "Open loop: each event has an instant at which it is due, and latency counts from that instant, so a stall anywhere shows in "
        "full. No due event is skipped.",
        "Every delivery is accounted for: delivered + lost = events × clients.",
        watched_in_words(comparison),
    ]


def draw_charts(drawings: Iterable[Drawing], found: Sequence[Standing]) -> tuple[list[Chart], tuple[str, ...]]:
    """Draw every chart with values; return a text for each of the others."""
    drawn, missing = [], []
    for one in drawings:
        made = one.draw(found)
        if made is None:
            missing += [f"{one.title}: {one.otherwise}"] if one.otherwise else []
        else:
            drawn.append(_drawn(one, made))
    return drawn, tuple(missing)


def _drawn(drawing: Drawing, made: Figure | Lines) -> Chart:
    from harness.report.chart_style import to_svg

    if isinstance(made, Lines):
        return lines_chart(drawing.name, drawing.title, drawing.text, made)
    return Chart(drawing.name, drawing.title, drawing.text, to_svg(made))


def lines_chart(name: str, title: str, text: str, lines: Lines) -> Chart:
    """Make a line chart on both scales, with its values."""
    from harness.report.chart_style import to_svg

    figure = lines.figure()
    svg = to_svg(figure)
    other = to_svg(lines.figure(log=not lines.logarithmic))
    scale = "linear" if lines.logarithmic else "logarithmic"
    return Chart(name, title, text, svg, other, scale, lines.tips(figure))


def settings_tables(comparison: Comparison) -> list[Table]:
    """The programs' settings, as declared for each contender; empty without settings."""
    rows = [
        [Cell(name), Cell(setting, "text"), Cell(f"{value:,}")]
        for name, settings in comparison.settings.items()
        for setting, value in settings.items()
    ]
    note = (
        "For clusters, the settings that decide how long a failover takes. ?name=value after a contender's name changes one, as in "
        "valkey-sentinel?down_after_ms=5000. docs/brokers.md explains each."
    )
    return [Table("Broker settings", ["contender", "setting", "value"], rows, note)] if rows else []
