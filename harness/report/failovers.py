"""The report of node faults: how long clients heard nothing, and what was lost, by contender and fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from brokers.contenders import find_contender
from brokers.limits import no_node_to_break, slowness
from core.errors import UsageError
from core.fault import KINDS, WHAT, FaultKind
from harness.analysis.failovers import Failover
from harness.analysis.fault_outcomes import AT_LEAST_ONCE
from harness.analysis.judgement_words import listed, seconds
from harness.analysis.statistics import MIN_ROUNDS
from harness.report.chart_style import to_svg
from harness.report.strip_chart import StripRow, strip_chart
from harness.report.view import LEVEL, Cell, Chart, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def failover_table(found: Sequence[Failover]) -> Table:
    """Make the table of contenders by fault: the silence with its interval, and the losses."""
    kinds = list(dict.fromkeys(one.outcome.fault for one in found))
    by_cell = {(one.outcome.contender, one.outcome.fault): one for one in found}
    names = sorted(
        dict.fromkeys(one.outcome.contender for one in found),
        key=lambda name: max((s for o in found if o.outcome.contender == name for s in o.silences_s), default=0.0),
    )
    rows = []
    for name in names:
        promise = next(one.outcome.delivery for one in found if one.outcome.contender == name)
        cells = [_cell(by_cell[name, kind]) if (name, kind) in by_cell else _absent(name, kind) for kind in kinds]
        rows.append([Cell(name, small=promise), *cells])
    missing = listed([kind for kind in KINDS if WHAT[kind].of_nodes and kind not in kinds])
    note = (
        "The longest time, in seconds, in which any client heard nothing: the mean of the runs and its "
        f"{LEVEL} interval, or the lowest and the highest if there are fewer than {MIN_ROUNDS} runs. Lost: deliveries, and how many of them were published without an error. Green: nothing lost. Yellow: lost, as at-most-once allows. Red: a promise was broken, or not every client came back."
        + (f" Not measured: {missing}." if missing else "")
    )
    return Table("When a node dies: how long clients hear nothing", ["contender", *kinds], rows, note)


def _absent(name: str, kind: FaultKind) -> Cell:
    """Why there is no run: the fault is impossible for the contender, or was not measured."""
    try:
        why = no_node_to_break(find_contender(name), kind)
    except UsageError:  # measured by another version
        why = None
    return Cell("impossible", small=why) if why else Cell("not measured")


def _cell(one: Failover) -> Cell:
    outcome = one.outcome
    if not outcome.runs:
        return Cell("refused", "warn", "; ".join(outcome.refused[0].problems))
    promise = outcome.delivery == AT_LEAST_ONCE
    lost, promised = outcome.total("lost"), one.lost_though_published
    words = [
        "0 lost" if not lost else f"{lost:,} lost, {promised:,} of them {'acknowledged' if promise else 'published'}"
    ]
    if outcome.broken_promise:
        words.append("promised not to")
    if outcome.total("duplicated"):
        words.append(f"{outcome.total('duplicated'):,} twice")
    if not outcome.recovered:
        words.append("not all came back")
    runs = len(outcome.runs)
    words.append(f"{runs} runs" if runs >= MIN_ROUNDS else f"{runs} runs, lowest to highest" if runs > 1 else "one run")
    words += [f"the node led in {one.led} of them"] if one.led else []
    words += [f"the node was started again in {one.helped} of them"] if one.helped else []
    words += [f"{len(outcome.refused)} refused"] if outcome.refused else []
    words += outcome.notes
    words += filter(None, [slowness(outcome.contender, outcome.fault)])
    bad = outcome.broken_promise or not outcome.recovered
    return Cell(seconds(one.silence_s), "bad" if bad else "warn" if lost else "good", " · ".join(words))


def failover_details(found: Sequence[Failover]) -> Table:
    """Make the table with every figure of every cell."""
    headings = ["contender, fault", "runs", "silence", "of the median client", "publishing back", "last client back"]
    headings += ["lost", "of them published", "twice", "out of order", "gaps reported", "of"]
    rows = []
    for one in found:
        outcome = one.outcome
        if not outcome.runs:
            continue
        times = (one.silence_s, one.median_silence_s, one.outage_s, one.whole_s)
        counts = [outcome.total("lost"), one.lost_though_published, outcome.total("duplicated")]
        counts += [outcome.total("reordered"), outcome.total("gaps"), outcome.total("expected")]
        cells = [Cell(str(len(outcome.runs))), *(Cell(seconds(time)) for time in times)]
        rows.append([Cell(outcome.contender, small=outcome.fault), *cells, *(Cell(f"{count:,}") for count in counts)])
    note = (
        "Means of the runs; counts are sums. Publishing back: the longest time from the start of a publish that failed or "
        "waited to the next success. Last client back: from the fault until the last client got an event that was due after it."
    )
    return Table("Failovers in figures", headings, rows, note)


def failover_charts(found: Sequence[Failover]) -> list[Chart]:
    """The strip chart, if anything was measured."""
    figure = strips(found)
    if figure is None:
        return []
    text = "A mark for each run: the longest time in which a client heard nothing. The axis is logarithmic."
    return [Chart("failovers", "Silence of each run", text, to_svg(figure))]


def strips(found: Sequence[Failover]) -> Figure | None:
    """Draw a row for each contender and fault, with a mark for each run."""
    rows = [one for one in found if one.silences_s]
    rows.sort(key=lambda one: (one.outcome.fault, sum(one.silences_s) / len(one.silences_s)))
    strip_rows = [StripRow(one.outcome.fault, one.outcome.contender, one.silences_s) for one in rows]
    return strip_chart(strip_rows, "longest silence of a client, s")
