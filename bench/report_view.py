"""What a report shows, as plain texts and charts: the template only lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench import charts
from bench.model import Comparison
from bench.standings import Family, Standing, families, standings
from bench.stats import CONFIDENCE, Interval
from bench.verdict import ms, verdict

LEVEL = f"{CONFIDENCE:.0%}"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, what it shows and how to read it."""

    name: str
    title: str
    text: str
    svg: str
    """The document as it is saved below charts/."""


@dataclass(frozen=True, slots=True)
class Row:
    """One contender's line of the table, each cell as text."""

    contender: str
    delivery: str
    place: str
    runs: str
    p50: str
    p99: str
    p99_range: str
    p999: str
    longest: str
    broker_p99: str
    fanout_p99: str
    share: str
    lost: str
    broker_cpu: str
    server_cpu: str
    broker_mb: str
    server_mb: str


HEADINGS = {
    "contender": "contender",
    "delivery": "promise",
    "place": "group",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "p99_range": "its range",
    "p999": "p99.9 ms",
    "longest": "max ms",
    "broker_p99": "broker p99 ms",
    "fanout_p99": "fan-out p99 ms",
    "share": "broker's share",
    "lost": "lost",
    "broker_cpu": "broker CPU s/M",
    "server_cpu": "server CPU s/M",
    "broker_mb": "broker MB",
    "server_mb": "server MB",
    "runs": "valid",
}
"""The columns of the table in their order; CPU is in seconds per million deliveries."""
COLUMN_NOTE = (
    f"Latencies of all valid runs together, from the instant an event was due; its range: where p99 lies with {LEVEL} "
    "certainty. "
    "Group: those with the same letter cannot be told apart at p99, a is the fastest of its promise. Broker's share: "
    "of the mean latency. CPU s/M: CPU seconds per million deliveries. MB: peak resident memory. Valid: "
    "runs that passed every check."
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A run that is not ranked, and why."""

    contender: str
    round: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A whole report of one comparison."""

    comparison: Comparison
    verdict: list[str]
    rows: list[Row]
    charts: list[Chart]
    refused: list[Refused]


def view_of(comparison: Comparison, *, draw: bool = True) -> View:
    """Work out a report; without `draw` it has no charts, which is quick."""
    every = standings(comparison)
    refused = [Refused(run.contender, run.round, run.problems) for run in comparison.runs if not run.valid]
    found = list(comparison.verdict) or verdict(comparison)
    return View(comparison, found, table_rows(comparison), draw_charts(every) if draw else [], refused)


def table_rows(comparison: Comparison) -> list[Row]:
    """One row per contender: promises in turn, the fastest first, the floor last."""
    found = families(comparison)
    rows = [_row(standing, _letter(family, standing)) for family in found for standing in family.standings]
    shown = {row.contender for row in rows}
    return rows + [_row(s, "floor") for s in standings(comparison) if s.contender not in shown]


def _letter(family: Family, standing: Standing) -> str:
    for number, group in enumerate(family.groups):
        if standing.contender in group:
            return chr(ord("a") + number)
    return "–"


def _row(standing: Standing, place: str) -> Row:
    p99 = standing.percentile(99) if standing.runs else None
    latency = standing.pooled()

    def figure(percentile: float, hop: str = "latency") -> str:
        pooled = standing.pooled(hop)
        return ms(pooled.percentile_ms(percentile)) if pooled.count else "–"

    share = standing.share("broker")
    return Row(
        contender=standing.contender,
        delivery=standing.delivery,
        place=place,
        runs=f"{len(standing.runs)}/{len(standing.runs) + len(standing.refused)}",
        p50=figure(50),
        p99=figure(99),
        p99_range=f"{ms(p99.low)}–{ms(p99.high)}" if p99 and len(standing.runs) > 1 else "–",
        p999=figure(99.9),
        longest=ms(latency.max_ms()) if latency.count else "–",
        broker_p99=figure(99, "broker"),
        fanout_p99=figure(99, "fanout"),
        share="–" if share is None or standing.floor else f"{100 * share:.0f} %",
        lost=f"{standing.total('lost'):,}" if standing.runs else "–",
        broker_cpu=_number(standing.cpu_s_per_million("broker")),
        server_cpu=_number(standing.cpu_s_per_million("server")),
        broker_mb=_number(standing.rss_mb("broker")),
        server_mb=_number(standing.rss_mb("server")),
    )


def _number(value: Interval | float | None) -> str:
    if value is None:
        return "–"
    number = value.estimate if isinstance(value, Interval) else value
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.3g}"


_CHARTS = (
    (
        "hops",
        "Where the time goes",
        "Mean latency of a delivery, split into its hops: how late the event was sent, its way through the broker, and its "
        "way from the replica to the client.",
        charts.hops,
    ),
    (
        "percentiles",
        "How the slow ones fare",
        f"Latency that this share of deliveries stays below; the band is the {LEVEL} range over rounds.",
        charts.percentiles,
    ),
    (
        "broker",
        "The broker hop alone",
        "The same for the time from the send to the replica: what the choice of a broker changes.",
        lambda found: charts.percentiles([s for s in found if not s.floor], "broker"),
    ),
    (
        "timeline",
        "Over time",
        "p99 of each second of a run: the median of the rounds, the band from the lowest to the highest round.",
        charts.timeline,
    ),
    (
        "cpu",
        "What it costs in CPU",
        "CPU seconds of each part for a million deliveries. The load is the measuring side: no service pays for it.",
        charts.cpu,
    ),
    ("memory", "What it costs in memory", "Peak resident memory of each part.", charts.memory),
    (
        "fanout",
        "More clients on a replica",
        "Half of the deliveries took less than this from the replica to the client.",
        charts.fanout_by_clients,
    ),
)


_GREY = " Grey: the range of all contenders."


def draw_charts(found: Sequence[Standing]) -> list[Chart]:
    """Every chart for which there are values."""
    from bench.chart_style import to_svg

    drawn = []
    for name, title, text, draw in _CHARTS:
        figure = draw(found)
        if figure is not None:
            one_each = len(figure.axes) > 1
            drawn.append(Chart(name, title, text + (_GREY if one_each else ""), to_svg(figure)))
    return drawn
