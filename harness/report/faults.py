"""The report of faults: the effect of each on each contender, compared with the contender's promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.fault import WHAT
from harness.analysis.failovers import failovers
from harness.analysis.fault_outcomes import AT_LEAST_ONCE, FaultOutcome, outcomes, over_runs, stands_out
from harness.analysis.judgement_words import listed, ms, seconds
from harness.analysis.statistics import MIN_ROUNDS, mean_interval
from harness.report.failovers import failover_charts, failover_details, failover_table
from harness.report.view import LEVEL, NOT_WATCHED, Cell, Table, View, method, number, refused_runs, settings_tables
from harness.results.run_record import CAUSE_WORDS, CAUSES, PARTS, Comparison, Run


def faults_view(comparison: Comparison, *, draw: bool = True) -> View:
    """The report of `fanbench faults`."""
    found, nodes = outcomes(comparison.runs), failovers(comparison)
    verdict = list(comparison.verdict) or faults_verdict(comparison)
    tables = [failover_table(nodes), failover_details(nodes), *settings_tables(comparison)] if nodes else []
    tables += [] if len(nodes) == len(found) else [matrix(found), *details(found)]
    tables += [] if nodes else settings_tables(comparison)
    tables += [*refused_runs(comparison), meanings(found)]
    how = "Each fault came within the measured phase of a separate run and was undone automatically; clients reconnected without help."
    if comparison.lanes > 1:
        how += f" {comparison.lanes} runs ran at the same time, each with its own cluster and programs."
    return View(comparison, verdict, failover_charts(nodes) if draw else [], tables, method(comparison, [how]))


def faults_verdict(comparison: Comparison) -> list[str]:
    """Return sentences: who lost nothing, who broke a promise, who lost within the promise, and the longest silence."""
    found = [outcome for outcome in outcomes(comparison.runs) if outcome.runs]
    if not found:
        return ["No fault run is valid, so there is no verdict; the report gives the reasons."]
    said = [*_kept(found), *_unknown(outcomes(comparison.runs))]
    said += [
        f"{o.contender} promises at-least-once and lost {o.total('lost'):,} of {o.total('expected'):,} in {o.fault}"
        f"{': ' if o.notes else ''}{'; '.join(o.notes)}."
        for o in found
        if o.broken_promise
    ]
    said += _allowed(found) + _silence(found) + _blast_radius(found)
    stuck = [f"{outcome.contender} in {outcome.fault}" for outcome in found if not outcome.recovered]
    said.append(
        f"Not every client came back without help: {listed(stuck)}."
        if stuck
        else "Every client came back without help."
    )
    if not comparison.complete:
        said.append("The runs were interrupted: only the finished ones are here.")
    return said


def _kept(found: Sequence[FaultOutcome]) -> list[str]:
    """The contenders that lost nothing: first those with a valid run in every fault, then those with fewer."""
    kinds = len({outcome.fault for outcome in found})
    losers = {outcome.contender for outcome in found if outcome.total("lost")}
    went: dict[str, int] = {}
    for outcome in found:
        if outcome.contender not in losers:
            went[outcome.contender] = went.get(outcome.contender, 0) + 1
    whole = [name for name, count in went.items() if count == kinds]
    through = "the one fault" if kinds == 1 else f"all {kinds} faults"
    said = [
        f"Through {through}, {listed(whole)} lost nothing."
        if whole
        else f"No contender came through {through} without loss."
    ]
    for count in sorted({count for count in went.values() if count < kinds}, reverse=True):
        some = [name for name, of in went.items() if of == count]
        faults = "the one fault" if count == 1 else f"the {count} faults"
        said.append(
            f"{listed(some)} lost nothing in {faults} with a valid run of {'it' if len(some) == 1 else 'them'}."
        )
    return said


def _unknown(found: Sequence[FaultOutcome]) -> list[str]:
    """The contenders and faults whose runs were all refused: no other sentence is about them."""
    by_name: dict[str, list[str]] = {}
    for outcome in found:
        if not outcome.runs:
            by_name.setdefault(outcome.contender, []).append(outcome.fault)
    if not by_name:
        return []
    said = listed([f"{name} in {listed(kinds)}" for name, kinds in by_name.items()])
    return [f"Without a valid run, so that nothing here is about it: {said}; the report gives the reasons."]


def _allowed(found: Sequence[FaultOutcome]) -> list[str]:
    by_name: dict[str, list[str]] = {}
    for outcome in found:
        if outcome.total("lost") and not outcome.broken_promise:
            by_name.setdefault(outcome.contender, []).append(f"{outcome.total('lost'):,} in {outcome.fault}")
    if not by_name:
        return []
    said = "; ".join(f"{name} {listed(losses)}" for name, losses in by_name.items())
    return [f"Lost as at-most-once allows: {said}."]


def _silence(found: Sequence[FaultOutcome]) -> list[str]:
    """The longest silence of any run, with the contender if the rounds distinguish it."""
    silences = [(silence, outcome) for outcome in found if (silence := outcome.worst("silence_ms")) is not None]
    if not silences:
        return []
    longest, outcome = max(silences, key=lambda pair: pair[0])
    alike = {one.contender: one.values("silence_ms") for one in found if one.fault == outcome.fault}
    return [
        f"The longest silence of a client was {longest / 1000:.1f} s, in {outcome.fault}{_whose(alike, 'longest', 1000, ' s')}."
    ]


def _blast_radius(found: Sequence[FaultOutcome]) -> list[str]:
    """How a fault that hits some clients affects the others' latency: each fault's worst run and its contender."""
    said = []
    for fault in dict.fromkeys(outcome.fault for outcome in found):
        ratios: dict[str, list[float]] = {}
        worst = (0.0, 0.0, 0.0)
        for outcome in found:
            for run in outcome.runs if outcome.fault == fault else ():
                before, during = run.figures.get("before_p99_ms"), run.figures.get("bystanders_p99_ms")
                if before and during is not None:
                    ratios.setdefault(outcome.contender, []).append(during / before)
                    worst = max(worst, (during / before, before, during))
        if ratios:
            ratio, before, during = worst
            said.append(
                f"{fault} raised the others' p99 from {ms(before)} to {ms(during)} ms in the worst run ({ratio:.2f}x)"
                f"{_whose(ratios, 'worst', 1, 'x')}"
            )
    return [f"Blast radius: {'; '.join(said)}."] if said else []


def _whose(by_name: Mapping[str, Sequence[float]], how: str, per: float, unit: str) -> str:
    """Name the contender that stands out, with its interval, or say why none does."""
    if len(by_name) == 1:
        return f", with {next(iter(by_name))}"
    if (name := stands_out(by_name)) is not None:
        mean = mean_interval(by_name[name])
        return (
            f"; {name} is {how}, {number(mean.estimate / per)}{unit} [{number(mean.low / per)}, {number(mean.high / per)}] "
            f"in the mean of {len(by_name[name])} runs"
        )
    if min(map(len, by_name.values())) < MIN_ROUNDS:
        return f"; no contender is named, because that takes {MIN_ROUNDS} valid runs of each (--rounds {MIN_ROUNDS})"
    return "; no contender is named, because the ranges overlap"


def matrix(found: Sequence[FaultOutcome]) -> Table:
    """Contenders by fault: losses, silence and duplicates; the colour shows whether the promise was kept."""
    kinds = list(dict.fromkeys(outcome.fault for outcome in found))
    by_cell = {(outcome.contender, outcome.fault): outcome for outcome in found}
    promises = _in_order(found)
    rows = [
        [Cell(name, small=promise), *(_cell(by_cell.get((name, kind))) for kind in kinds)]
        for name, promise in promises.items()
    ]
    note = (
        "Lost: deliveries, of all expected. Silence: the longest time in which a client got nothing; the mean of the runs and its "
        f"{LEVEL} interval, or the lowest and the highest if there are fewer than {MIN_ROUNDS} runs. Twice: deliveries that arrived "
        "more than once. Green: nothing lost. Yellow: lost, as the promise allows. Red: the promise was broken, or not every "
        "client came back."
    )
    return Table("What each fault did", ["contender", *kinds], rows, note)


def _in_order(found: Sequence[FaultOutcome]) -> dict[str, str]:
    """The contenders with their promises: at-most-once first, then ordered by losses and silence."""
    totals: dict[str, tuple[bool, int, float]] = {}
    for outcome in found:
        _, lost, silence = totals.get(outcome.contender, (False, 0, 0.0))
        longest = max(silence, outcome.worst("silence_ms") or 0.0)
        totals[outcome.contender] = (outcome.delivery == AT_LEAST_ONCE, lost + outcome.total("lost"), longest)
    promises = {outcome.contender: outcome.delivery for outcome in found}
    return {name: promises[name] for name in sorted(totals, key=lambda name: totals[name])}


def _cell(outcome: FaultOutcome | None) -> Cell:
    if outcome is None:
        return Cell("not measured")
    if not outcome.runs:
        return Cell("refused", "warn", "; ".join(outcome.refused[0].problems))
    lost = outcome.total("lost")
    silences = [value / 1000 for value in outcome.values("silence_ms")]
    words = [f"silence {seconds(over_runs(silences))}"] if silences else []
    words.append("one run" if len(outcome.runs) == 1 else f"{len(outcome.runs)} runs")
    if outcome.total("duplicated"):
        words.append(f"{outcome.total('duplicated'):,} twice")
    if not outcome.recovered:
        words.append("not all came back")
    words += outcome.notes
    bad = outcome.broken_promise or not outcome.recovered
    head = "0 lost" if not lost else f"{lost:,} lost{', promised not to' if outcome.broken_promise else ''}"
    return Cell(head, "bad" if bad else "warn" if lost else "good", " · ".join(words))


def details(found: Sequence[FaultOutcome]) -> list[Table]:
    """Make tables with every figure of every cell: losses and times."""
    order = list(_in_order(found))
    measured = sorted(
        (outcome for outcome in found if outcome.runs), key=lambda outcome: order.index(outcome.contender)
    )
    counted, timed = [], []
    for outcome in measured:
        head = Cell(outcome.contender, small=outcome.fault)
        causes = [sum(run.lost_by_cause.get(cause, 0) for run in outcome.runs) for cause in CAUSES]
        counts = [outcome.total("lost"), outcome.total("expected"), *causes]
        counts += [outcome.total("duplicated"), outcome.total("reordered")]
        seen = [number(outcome.worst(name)) for name in ("replayed", "reconnects")]
        counted.append([head, *(Cell(f"{count:,}") for count in counts), *map(Cell, seen)])
        figures = ("recovery_p50_ms", "recovery_max_ms", "silence_ms", "before_p99_ms", "bystanders_p99_ms")
        texts = [*(number(outcome.worst(name)) for name in figures), *(_memory(outcome.runs, part) for part in PARTS)]
        timed.append([head, *map(Cell, texts)])
    lost = ["contender, fault", "lost", "of", *(CAUSE_WORDS[cause] for cause in CAUSES), "twice", "out of order"]
    times = ["contender, fault", "back p50 ms", "back max ms", "silence ms", "others' p99 before ms", "others' p99 ms"]
    sums = "Sums over all rounds; lost is split by cause. Replayed and reconnects: the highest of any round."
    most = (
        "The highest of all rounds. Back: from the fault to a client's first event after it. MB: peak resident memory."
    )
    return [
        Table("What was lost, in figures", [*lost, "replayed", "reconnects"], counted, sums),
        Table("Times and memory", [*times, *(f"{part} MB" for part in PARTS)], timed, most),
    ]


def _memory(runs: Sequence[Run], part: str) -> str:
    """A part's highest memory in any run."""
    sizes = [run.usage[part].rss_mb for run in runs if part in run.usage]
    if not sizes and any(part in run.not_watched for run in runs):
        return NOT_WATCHED
    return number(max(sizes, default=None))


def meanings(found: Sequence[FaultOutcome]) -> Table:
    """What happens in each fault, and how it is undone."""
    kinds = dict.fromkeys(outcome.fault for outcome in found)
    rows = [[Cell(kind), Cell(WHAT[kind].meaning, "text"), Cell(WHAT[kind].undone, "text")] for kind in kinds]
    return Table("The faults", ["fault", "what happens", "how it is undone"], rows)
