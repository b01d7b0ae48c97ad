"""What a report shows, as plain texts, tables and charts: the template only lays it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.scenario import Scenario
from harness.analysis.judgement_words import ms
from harness.analysis.standings import Standing
from harness.analysis.statistics import CONFIDENCE, Interval
from harness.analysis.verdict import workload
from harness.results.run_record import Comparison
from harness.results.summary import value_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = f"{CONFIDENCE:.0%}"
Drawing = tuple[str, str, str, Callable[[Sequence[Standing]], "Figure | None"]]
"""A chart's name, title and text, and what draws it."""
_GREY = " Grey: the range of all contenders."


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, what it shows and how to read it."""

    name: str
    title: str
    text: str
    svg: str
    """The document as it is saved below charts/."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    kind: str = ""
    """`text` stands left; `good`, `warn` and `bad` have a colour, and say the same in words."""
    small: str = ""
    """A second line."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row names it."""

    title: str
    headings: list[str]
    rows: list[list[Cell]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A whole report of one result directory."""

    comparison: Comparison
    verdict: list[str]
    charts: list[Chart]
    tables: list[Table]
    method: list[str]


def number(value: Interval | float | None) -> str:
    """To three significant digits; a dash for what was not measured."""
    if value is None:
        return "–"
    figure = value.estimate if isinstance(value, Interval) else value
    return f"{figure:,.0f}" if abs(figure) >= 99.5 else f"{figure:.3g}"


def refused_runs(comparison: Comparison) -> list[Table]:
    """The runs that are not ranked, with what they measured nevertheless, and why."""
    rows = []
    for run in comparison.runs:
        if not run.valid:
            p99 = value_of(run, "p99_ms")
            figures = (str(run.round), "–" if p99 is None else ms(p99), f"{run.lost:,}" if run.expected else "–")
            rows.append([Cell(run.contender), *map(Cell, figures), Cell("; ".join(run.problems), "text")])
    note = "A refused run is kept and shown, and never ranked: its figures say more about the measurement than about the broker."
    headings = ["contender", "round", "p99 ms", "lost", "why, and what to do"]
    return [Table("Refused runs", headings, rows, note)] if rows else []


def events_in_words(scenario: Scenario) -> str:
    """What is published, of what size and when."""
    rules = scenario.sessions
    if rules is None:
        size = f"{scenario.payload_bytes} bytes each" + (
            " beside a compact stamp" if scenario.stamp == "compact" else ""
        )
        return f"{size}, schedule {scenario.schedule}, topics {scenario.topics}"
    return (
        f"{rules.payload_bytes[0]} to {rules.payload_bytes[1]} bytes each beside a {scenario.stamp} stamp: {rules.arrivals_hz:g} sessions "
        f"begin per second, each a topic that lives {rules.lifetime_s[0]:g} to {rules.lifetime_s[1]:g} s"
    )


def method(comparison: Comparison, how: Sequence[str]) -> list[str]:
    """How the figures came about, for a reader who doubts them; `how` is what this kind of measurement adds."""
    scenario = comparison.scenario
    return [
        f"Workload: {workload(scenario)}, {events_in_words(scenario)}; {scenario.warmup_s:g} s of warm-up, then "
        f"{scenario.duration_s:g} s that count.",
        *how,
        "Open loop: each event has an instant at which it is due, and latency counts from it, so a stall anywhere shows in "
        "full. Nothing due is left out.",
        "Every delivery is accounted for: delivered + lost = events × clients.",
        "All parts ran on the machine below, and shared it: take ratios from here, not absolute times for another machine.",
    ]


def draw_charts(drawings: Iterable[Drawing], found: Sequence[Standing]) -> list[Chart]:
    """Every chart for which there are values."""
    from harness.report.chart_style import to_svg

    drawn = []
    for name, title, text, draw in drawings:
        figure = draw(found)
        if figure is not None:
            one_each = len(figure.axes) > 1
            drawn.append(Chart(name, title, text + (_GREY if one_each else ""), to_svg(figure)))
    return drawn


def settings_tables(comparison: Comparison) -> list[Table]:
    """What the programs were set to, as it was declared for each contender; nothing where there is nothing to set."""
    rows = [
        [Cell(name), Cell(setting, "text"), Cell(f"{value:,}")]
        for name, settings in comparison.settings.items()
        for setting, value in settings.items()
    ]
    note = (
        "Of clusters, what decides how long a failover takes. ?name=value after a contender's name changes one, as in "
        "valkey-sentinel?down_after_ms=5000. docs/brokers.md says what each means."
    )
    return [Table("What the brokers were set to", ["contender", "setting", "value"], rows, note)] if rows else []
