"""The report of sessions: what readers received, and how a replica's death affected them."""

from __future__ import annotations

from harness.analysis.judgement_words import seconds
from harness.analysis.order import in_order
from harness.analysis.resumption import KILLED, Resumption, resumptions
from harness.report.chart_style import to_svg
from harness.report.strip_chart import StripRow, strip_chart
from harness.report.view import LEVEL, Cell, Chart, Table, number
from harness.results.run_record import Comparison

_COLUMNS = {
    "first_event_p50_ms": "first event p50 ms",
    "first_event_p99_ms": "p99 ms",
    "gap_sent_p99_ms": "gap p99 as sent, ms",
    "gap_seen_p99_ms": "as seen, ms",
    "subscribes_hz": "streams opened per s",
    "topic_subscribes_hz": "topics subscribed per s",
    "topic_unsubscribes_hz": "unsubscribed per s",
    "topic_kb": "KB per topic",
    "finished_topic_kb": "KB per ended topic",
}
FIGURES = ("visits", "moved_visits", "complete_visits", "gap_sent_p50_ms", "gap_seen_p50_ms", *_COLUMNS)
"""The figures of single runs that these tables show, or that mean nothing without them."""


def session_tables(comparison: Comparison) -> list[Table]:
    """What readers of sessions received, then how a replica's death affected them; empty without sessions."""
    if not comparison.scenario.sessions:
        return []
    rows = []
    for standing in in_order(comparison):
        visits = sum(run.figures.get("visits", 0.0) for run in standing.runs)
        whole = sum(run.figures.get("complete_visits", 0.0) * run.figures.get("visits", 0.0) for run in standing.runs)
        moved = sum(run.figures.get("moved_visits", 0.0) for run in standing.runs)
        counts = (f"{round(whole):,} of {visits:,.0f}", f"{moved:,.0f}") if standing.runs else ("–", "–")
        figures = (number(standing.median_figure(name)) for name in _COLUMNS)
        rows.append([Cell(standing.contender, small=standing.delivery), *map(Cell, (*counts, *figures))])
    note = (
        "A visit is one client at one session. Complete: it got every event up to its last, exactly once, with the bytes that were "
        "sent. Moved: it continued at another replica, by its last id. First event: from the start of a visit, or from the due instant of its "
        "session's first event. Gap: the time between two events of a session; the difference between seen and sent is added jitter. Times are medians over the valid "
        "rounds. Topics: at the broker, by all replicas. KB: the replicas' memory; for ended topics only in long rounds of many "
        "sessions, see docs/scenarios.md."
    )
    headings = ["contender", "complete visits", "moved", *_COLUMNS.values()]
    seen = Table("Sessions, as their readers saw them", headings, rows, note)
    return [*_killed(resumptions(comparison)), seen]


def _killed(found: list[Resumption]) -> list[Table]:
    headings = ["contender", "resumes", "longest wait of a reader", "complete visits", "lost", "twice", "replayed"]
    rows = [[Cell(one.outcome.contender, small=one.outcome.delivery), *_cells(one)] for one in found]
    note = (
        "In separate runs, one replica got SIGKILL while readers listened, and was started again after 2 s; its readers "
        f"reconnected there by their last id. Longest wait: the mean of the runs and its {LEVEL} interval, or the lowest and the highest of a "
        "few; it includes the 2 s. Lost: deliveries. Green: every reader got the whole session. Red: a promise was broken."
    )
    return [Table("When a replica dies in the middle of a session", headings, rows, note)] if rows else []


def _cells(one: Resumption) -> list[Cell]:
    outcome = one.outcome
    if not outcome.runs:
        return [Cell("refused", "warn", "; ".join(outcome.refused[0].problems)), *[Cell("–")] * 5]
    kind = "good" if one.resumes else "bad" if outcome.broken_promise else "warn"
    valid, tried = one.rounds
    runs = (
        f"{valid} of {tried} rounds, the others refused"
        if valid < tried
        else "one run"
        if valid == 1
        else f"{valid} runs"
    )
    counts = [f"{outcome.total(name):,}" for name in ("lost", "duplicated")]
    replayed = f"{round(sum(outcome.values('replayed'))):,}"
    return [
        Cell("yes" if one.resumes else "no", kind, runs),
        *map(Cell, (seconds(one.wait_s), f"{one.complete:,} of {one.visits:,}", *counts, replayed)),
    ]


def session_charts(comparison: Comparison) -> list[Chart]:
    """The waits in each run in which a replica died; empty without such runs."""
    rows = [
        StripRow(KILLED, one.outcome.contender + ("" if one.resumes else " (not whole)"), one.waits_s)
        for one in resumptions(comparison)
        if one.waits_s
    ]
    figure = strip_chart(rows, "longest wait of a reader, s")
    if figure is None:
        return []
    text = "A mark for each run in which a replica died: the longest time in which a reader got nothing. The axis is logarithmic."
    return [Chart("resumption", "When a replica dies in the middle of a session", text, to_svg(figure))]
