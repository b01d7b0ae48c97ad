"""The report of a comparison: its charts and tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brokers.anti_patterns import anti_pattern
from harness.analysis.fault_evidence import NO_EVIDENCE, FaultEvidence
from harness.analysis.judgement_words import listed, ms
from harness.analysis.order import in_order
from harness.analysis.recommendation import recommend
from harness.analysis.resumption import resumption_told
from harness.analysis.standings import Family, Standing, families, standings
from harness.analysis.statistics import CONFIDENCE, MIN_ROUNDS
from harness.analysis.verdict import verdict
from harness.report import bar_charts as charts
from harness.report import line_charts as charts_lines
from harness.report.decision import decision_table, next_steps
from harness.report.further_figures import further_figures
from harness.report.sessions import session_charts, session_tables
from harness.report.transports import transport_tables
from harness.report.view import (
    LEVEL,
    Cell,
    Drawing,
    Table,
    View,
    draw_charts,
    method,
    of_part,
    refused_runs,
    settings_tables,
)
from harness.results.run_record import CAUSE_WORDS, CAUSES, Comparison


@dataclass(frozen=True, slots=True)
class ContenderRow:
    """One contender's figures, each as text."""

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
    delivered: str
    lost: str
    broker_cpu: str
    server_cpu: str
    broker_mb: str
    server_mb: str


HEADINGS = {
    "contender": "contender",
    "place": "group",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "p99_range": "p99 range",
    "p999": "p99.9 ms",
    "longest": "max ms",
    "broker_p99": "broker p99 ms",
    "fanout_p99": "fan-out p99 ms",
    "share": "broker's share",
    "delivered": "delivered/expected",
    "lost": "lost",
    "broker_cpu": "broker CPU, s per million",
    "server_cpu": "server CPU, s per million",
    "broker_mb": "broker MB",
    "server_mb": "server MB",
    "runs": "valid",
}
"""The columns of the main table, in order; CPU is in seconds per million deliveries."""
_NOTE = (
    f"Latencies of all valid runs together, from the instant an event was due. p99 range: its {LEVEL} interval. "
    "Group: contenders with the same letter could not be told apart at p99; a is the fastest group of its promise. Broker's "
    "share: of the mean latency. CPU: seconds per million deliveries. MB: peak resident memory. Valid: rounds whose run passed "
    "every check, out of those wanted."
)
FANOUT = Drawing(
    "fanout",
    "More clients on a replica",
    "The median time of a delivery from the replica to the client.",
    charts_lines.fanout_lines,
    "only one load was measured; `fanbench capacity CONTENDER` measures many (4 min).",
)
_CHARTS: tuple[Drawing, ...] = (
    Drawing(
        "hops",
        "Latency by hop",
        "Mean latency of a delivery, split by hop: how late the event was sent, the time through the broker, and the "
        "time from the replica to the client.",
        charts.hops,
    ),
    Drawing(
        "percentiles",
        "Tail latency",
        f"The latency that this share of deliveries stays below. The band, or the range next to a value, is the {LEVEL} interval over rounds.",
        charts_lines.percentile_lines,
    ),
    Drawing(
        "broker",
        "The broker hop alone",
        "Percentiles of the time from the send to the replica, which is what the choice of a broker changes.",
        lambda found: charts_lines.percentile_lines([s for s in found if not s.floor], "broker"),
    ),
    Drawing(
        "timeline",
        "Over time",
        "p99 of each second of a run: the median over rounds, with the lowest and the highest round.",
        charts_lines.timeline_lines,
        f"runs shorter than {charts_lines.LEAST_SECONDS} s show nothing; `fanbench compare --duration 10` measures longer ones.",
    ),
    Drawing(
        "cpu",
        "CPU cost",
        "CPU seconds of each part per million deliveries. The load is the measuring side; a real service does not pay for it.",
        charts.cpu,
    ),
    Drawing("memory", "Memory cost", "Peak resident memory of each part.", charts.memory),
    FANOUT,
)


def comparison_view(comparison: Comparison, evidence: FaultEvidence = NO_EVIDENCE, *, draw: bool = True) -> View:
    """Make the report of a comparison and its contenders' faults. `draw=False` skips the charts, which is quick."""
    pictures, not_drawn = draw_charts(_CHARTS, in_order(comparison)) if draw else ([], ())
    pictures = [*session_charts(comparison), *pictures] if draw else pictures
    tables = [
        *transport_tables(comparison),
        *session_tables(comparison),
        main_table(comparison),
        *losses(comparison),
        *further_figures(comparison),
        *settings_tables(comparison),
        *refused_runs(comparison),
    ]
    shown = View(
        comparison, comparison_verdict(comparison, evidence), pictures, tables, method(comparison, _how(comparison))
    )
    if len({run.transport for run in comparison.runs}) > 1:
        return shown
    return replace(
        shown,
        decision=decision_table(comparison, evidence),
        next_steps=next_steps(comparison, evidence),
        not_drawn=not_drawn,
    )


def comparison_verdict(comparison: Comparison, evidence: FaultEvidence = NO_EVIDENCE) -> list[str]:
    """The recommendation and its certainty, if there is one; then who resumes sessions; then the verdict."""
    several = len({run.transport for run in comparison.runs}) > 1
    advice = None if several else recommend(comparison, evidence)
    advised = (advice.sentence, advice.certainty) if advice else ()
    return [*advised, *resumption_told(comparison), *verdict(comparison)]


def _how(comparison: Comparison) -> list[str]:
    rounds = comparison.rounds
    return [
        f"{rounds} round{'s' if rounds > 1 else ''}: in each, every contender ran once, in shuffled order.",
        "Three hops: schedule lag (sent − due), broker (received by the replica − sent), fan-out (arrived at the client − "
        "received). Their means add up to the mean latency; percentiles do not, so the broker's share is that of the mean.",
        "Rounds are compared in pairs. In each figure two contenders are equivalent, different or not settled, with a risk "
        f"of {1 - CONFIDENCE:.0%} that any such statement in this comparison is wrong. This needs {MIN_ROUNDS} rounds. {_looks(comparison)}"
        "Contenders with different promises are not ranked against each other.",
        *anti_patterns_told(comparison),
        *endpoints_told(comparison),
    ]


def anti_patterns_told(comparison: Comparison) -> list[str]:
    """Return a warning for each contender whose figures are not the broker's."""
    names = sorted({run.contender for run in comparison.runs})
    return [
        f"{name} is an anti-pattern: {words}. It runs a server written as in tutorials instead of the hub, so its figures "
        "describe the pattern, not the broker."
        for name in names
        if (words := anti_pattern(name))
    ]


def endpoints_told(comparison: Comparison) -> list[str]:
    """For each contender that is an endpoint, say what is known about it and what is not."""
    names = sorted({run.contender for run in comparison.runs if run.endpoint})
    return [
        f"{name} is a service that streams the events itself, in place of broker and replicas. Its latency counts from the due "
        "instants as well. Not measured: its broker hop, its fan-out hop, its gaps, and what it drops for slow clients; CPU and "
        "memory are those of the whole service, under server."
        for name in names
    ]


def _looks(comparison: Comparison) -> str:
    looks = comparison.stopping.looks
    if len(looks) < 2:
        return ""
    ended = "it did, because every pair was settled" if comparison.stopping.settled else "it ran until its time was up"
    return f"It could stop after {listed([str(look) for look in looks[:-1]])} rounds, which the intervals account for; {ended}. "


def main_table(comparison: Comparison) -> Table:
    """The figures of each contender."""
    rows = []
    for row in table_rows(comparison):
        words = anti_pattern(row.contender)
        head = Cell(row.contender, small=row.delivery + (f" · anti-pattern: {words}" if words else ""))
        cells = [
            Cell(getattr(row, name), "bad" if name == "lost" and row.lost not in ("0", "–") else "")
            for name in list(HEADINGS)[1:]
        ]
        rows.append([head, *cells])
    return Table("In figures", list(HEADINGS.values()), rows, _NOTE)


def table_rows(comparison: Comparison) -> list[ContenderRow]:
    """Return one row per contender, grouped by promise, the fastest first, the floor last."""
    found = families(comparison)
    wanted = comparison.rounds
    rows = [_row(standing, _letter(family, standing), wanted) for family in found for standing in family.standings]
    shown = {row.contender for row in rows}
    return rows + [_row(s, "floor", wanted) for s in standings(comparison) if s.contender not in shown]


def _letter(family: Family, standing: Standing) -> str:
    for place, group in enumerate(family.groups):
        if standing.contender in group:
            return chr(ord("a") + place)
    return "–"


def _row(standing: Standing, place: str, wanted_rounds: int) -> ContenderRow:
    p99 = standing.percentile(99) if standing.runs and standing.carries(99) else None
    latency = standing.pooled()

    def figure(percentile: float, hop: str = "latency") -> str:
        pooled = standing.pooled(hop)
        return ms(pooled.percentile_ms(percentile)) if pooled.count and standing.carries(percentile) else "–"

    share = standing.share("broker")
    return ContenderRow(
        contender=standing.contender,
        delivery=standing.delivery,
        place=place,
        runs=f"{len(standing.runs)}/{max(wanted_rounds, len(standing.runs))}",
        p50=figure(50),
        p99=figure(99),
        p99_range=f"{ms(p99.low)}–{ms(p99.high)}" if p99 and len(standing.runs) > 1 else "–",
        p999=figure(99.9),
        longest=ms(latency.max_ms()) if latency.count else "–",
        broker_p99=figure(99, "broker"),
        fanout_p99=figure(99, "fanout"),
        share="–" if share is None or standing.floor else f"{100 * share:.0f}%",
        delivered=f"{standing.total('delivered'):,}/{standing.total('expected'):,}" if standing.runs else "–",
        lost=f"{standing.total('lost'):,}" if standing.runs else "–",
        broker_cpu=of_part(standing, "broker", standing.cpu_s_per_million("broker")),
        server_cpu=of_part(standing, "server", standing.cpu_s_per_million("server")),
        broker_mb=of_part(standing, "broker", standing.rss_mb("broker")),
        server_mb=of_part(standing, "server", standing.rss_mb("server")),
    )


def losses(comparison: Comparison) -> list[Table]:
    """The losses by cause; empty without losses."""
    rows = [
        [
            Cell(standing.contender, small=standing.delivery),
            Cell(f"{standing.total('lost'):,}", "bad"),
            *(Cell(f"{standing.lost_to(cause):,}" if standing.tells(cause) else "–") for cause in CAUSES),
        ]
        for standing in in_order(comparison)
        if standing.total("lost")
    ]
    headings = ["contender", "lost", *CAUSE_WORDS.values()]
    note = (
        "All valid runs together. Each missing delivery is charged to one cause, the one with the strongest evidence."
    )
    return [Table("What was lost, and why", headings, rows, note)] if rows else []
