"""The decision table: what matters for a choice, one row per contender, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brokers.contender import Contender
from brokers.contenders import find_contender
from brokers.programs.licences import licence
from brokers.registry import installed
from core.errors import UsageError
from core.fault import FaultKind
from harness.analysis.costs import cores, mb_hours_per_million
from harness.analysis.fault_evidence import FaultEvidence, FoundFault, base_name
from harness.analysis.judgement_words import ms
from harness.analysis.next_commands import failovers_command, faults_command
from harness.analysis.order import in_order
from harness.analysis.resumption import KILLED
from harness.analysis.standings import Standing
from harness.report.view import LEVEL, NOT_WATCHED, Cell, Table, number
from harness.results.run_record import Comparison

NOT_MEASURED = "–"
_UNKNOWN = Cell(NOT_MEASURED)
FAULT_TITLES: dict[FaultKind, str] = {
    "broker-kill": "broker killed",
    "broker-stop": "broker hangs",
    "link-cut": "link cut",
    "link-delay": "link slow",
    "link-stall": "link stalls",
    "generator-cut": "generator cut off",
    "proxy-stall": "proxy stalls",
    "replica-kill": "replica killed",
    "replica-restart": "replicas restarted",
    "clients-stall": "clients stall",
    "clients-cut": "clients cut off",
    "clients-churn": "clients come and go",
    "leader-kill": "leader killed",
    "follower-kill": "follower killed",
    "connected-node-kill": "connected node killed",
    "leader-pause": "leader hangs",
    "leader-cut": "leader cut off",
    "minority-cut": "follower cut off",
    "rolling-restart": "nodes restarted",
    "cluster-kill": "all nodes killed",
    "deployment-break": "own command",
}
"""Names of the fault kinds that are short enough for a column heading."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The data of a row."""

    standing: Standing
    contender: Contender | None
    """None if this version does not know the contender."""
    comparison: Comparison
    evidence: FaultEvidence


def decision_table(comparison: Comparison, evidence: FaultEvidence) -> Table:
    """Make the table; a cell without a measurement has a dash."""
    rows = [_Row(standing, _known(standing.contender), comparison, evidence) for standing in in_order(comparison)]
    columns = _columns(evidence.kinds([row.standing.contender for row in rows]))
    cells = [[_head(row), *(cell(row) for _, cell in columns)] for row in rows]
    return Table("What decides", ["contender", *(title for title, _ in columns)], cells, _note(comparison, evidence))


def _columns(kinds: Sequence[FaultKind]) -> list[tuple[str, Callable[[_Row], Cell]]]:
    faults: list[tuple[str, Callable[[_Row], Cell]]] = [
        (FAULT_TITLES[kind], lambda row, kind=kind: _fault(row, kind))  # type: ignore[misc]  # bound at once
        for kind in kinds
    ]
    return [
        ("p99 ms", _p99),
        ("broker hop ms", _broker_hop),
        ("lost here", _lost),
        *(faults or [("faults", lambda _row: _UNKNOWN)]),
        ("one of 3 nodes dies", _failover),
        ("broker CPU, cores", _cpu),
        ("broker MB", _memory),
        ("replay", _replay),
        ("durability, as run", _durability),
        ("licence, version", _licence),
    ]


def _known(name: str) -> Contender | None:
    try:
        return find_contender(base_name(name).partition(" over ")[0])
    except UsageError:
        return None


def _head(row: _Row) -> Cell:
    return Cell(row.standing.contender, small="no broker: the floor" if row.standing.floor else row.standing.delivery)


def _p99(row: _Row) -> Cell:
    """p99, or the highest percentile that the number of events supports, with its name."""
    percentile = row.standing.highest_carried
    found = row.standing.percentile(percentile) if row.standing.runs else None
    if found is None:
        return Cell(NOT_MEASURED, small="no valid run")
    span = f"{ms(found.low)}–{ms(found.high)}" if len(row.standing.runs) > 1 else ""
    named = [] if percentile == 99 else [f"p{percentile}"]
    return Cell(ms(found.estimate), small=" ".join([*named, *([span] if span else [])]))


def _broker_hop(row: _Row) -> Cell:
    pooled = row.standing.pooled("broker")
    if row.standing.floor or not pooled.count:
        return _UNKNOWN
    return Cell(ms(pooled.percentile_ms(50)), small=ms(pooled.percentile_ms(99)) if row.standing.carries(99) else "")


def _lost(row: _Row) -> Cell:
    if not row.standing.runs:
        return _UNKNOWN
    lost = row.standing.total("lost")
    return Cell(f"{lost:,}", "bad" if lost else "")


def _fault(row: _Row, kind: FaultKind) -> Cell:
    found = row.evidence.of(row.standing.contender, kind)
    if found is None:
        return _UNKNOWN
    silence = found.silence_s
    outcome, most = found.outcome, found.lost[1]
    words = [f"{_range(silence, seconds)} s"] if silence else []
    words += [] if outcome.recovered else ["not all came back"]
    bad = outcome.broken_promise or not outcome.recovered
    return Cell(_range(found.lost, count), "bad" if bad else "warn" if most else "good", " · ".join(words))


def _failover(row: _Row) -> Cell:
    """The contender's cluster form with the shortest worst silence, and its losses in all deaths of a node."""
    deaths = row.evidence.failovers(row.standing.contender)
    worst = {form: _worst(cells).silence_s for form, cells in deaths.items()}
    measured = [(silence, form) for form, silence in worst.items() if silence is not None]
    if not measured:
        return _UNKNOWN
    silence, form = min(measured, key=lambda found: found[0][1])
    cells = deaths[form]
    lost = min(cell.lost[0] for cell in cells), max(cell.lost[1] for cell in cells)
    bad = any(cell.outcome.broken_promise or not cell.outcome.recovered for cell in cells)
    small = f"{_range(silence, seconds)} s, {form}"
    return Cell(_range(lost, count), "bad" if bad else "warn" if lost[1] else "good", small)


def _worst(cells: Sequence[FoundFault]) -> FoundFault:
    return max(cells, key=lambda cell: (cell.silence_s or (0.0, 0.0))[1])


def _range(values: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    """The lowest and highest value of the runs; one figure if both are written the same."""
    if values is None:
        return NOT_MEASURED
    low, high = map(write, values)
    return low if low == high else f"{low}–{high}"


def count(value: float) -> str:
    """`12,300`."""
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    """Seconds with one decimal, because silences are not more precise."""
    return f"{value:.1f}"


def _cpu(row: _Row) -> Cell:
    busy, scaled = cores(row.standing, "broker"), row.standing.cpu_s_per_million("broker")
    if busy is None or scaled is None:
        return _unseen(row)
    return Cell(number(busy), small=f"{number(scaled)} s/M")


def _memory(row: _Row) -> Cell:
    most, scaled = row.standing.rss_mb("broker"), mb_hours_per_million(row.standing, "broker")
    if most is None or scaled is None:
        return _unseen(row)
    return Cell(number(most), small=f"{number(scaled)} MB h/M")


def _unseen(row: _Row) -> Cell:
    return Cell(NOT_WATCHED) if row.standing.not_watched("broker") else _UNKNOWN


def _replay(row: _Row) -> Cell:
    if row.contender is None:
        return _UNKNOWN
    adapter = installed().serving(row.contender.url.partition("://")[0])
    return _UNKNOWN if adapter is None or row.contender.embedded else Cell("yes" if adapter.replay else "no")


def _durability(row: _Row) -> Cell:
    return Cell(row.contender.durability, "text") if row.contender and row.contender.durability else _UNKNOWN


def _licence(row: _Row) -> Cell:
    program = row.contender.program if row.contender else None
    found = licence(program, _version_of(row)) if program else ""
    return Cell(found or NOT_MEASURED, "text", _version_of(row)) if program else _UNKNOWN


def _version_of(row: _Row) -> str:
    program = row.contender.program if row.contender else None
    return row.comparison.versions.get(program, "") if program else ""


def _note(comparison: Comparison, evidence: FaultEvidence) -> str:
    names = {base_name(standing.contender) for standing in in_order(comparison)}
    used = [cell.result for (name, _), cell in evidence.cells.items() if name in names]
    used += [cell.result for name in names for cells in evidence.failovers(name).values() for cell in cells]
    sources = ", ".join(sorted(set(used)))
    faults = (
        "Faults and dying nodes: deliveries lost, and below that the seconds in which a client heard nothing, from the lowest to the highest "
        f"run, in {sources}, measured on this machine at the load given there. One of 3 nodes dies: the losses in all such faults "
        "and the silence in the worst, for the cluster in which that is shortest. "
    )
    return (
        f"p99 with its {LEVEL} range. Broker hop, from the send to the replica: p50, and p99 below it. Lost here: deliveries lost at this load. "
        f"{faults if sources else ''}CPU and memory: the broker's at this load, and below that per million (M) deliveries. Green: nothing lost. Yellow: "
        "lost, as the promise allows. Red: a promise was broken. A dash: not measured, or not applicable."
    )


def _went_through_faults(name: str, evidence: FaultEvidence) -> bool:
    """Whether faults were measured with the contender, other than the death of a replica that sessions go through."""
    return bool({*evidence.kinds([name])} - {KILLED})


def next_steps(comparison: Comparison, evidence: FaultEvidence) -> tuple[str, ...]:
    """The commands that fill the dashes of faults and failovers, each with its contenders and duration in minutes."""
    measured = dict.fromkeys(base_name(s.contender) for s in in_order(comparison) if not s.floor and s.runs)
    names = [name for name in measured if _known(name) is not None]
    found = (
        ("Faults", faults_command([name for name in names if not _went_through_faults(name, evidence)])),
        ("A node of three", failovers_command([name for name in names if not evidence.failovers(name)])),
    )
    said = [f"{what}: not measured on this machine with every contender; run {step}." for what, step in found if step]
    return (*said, *(["Then run `fanbench report` with this directory to include them."] if said else []))
