"""What to take, in one sentence: a comparison's judgements as advice, and how certain it is.

The advice follows the verdict. Equivalent contenders make no difference, so it says to take what already runs.
Otherwise it names the slower ones, with how much slower they are. If nothing is settled, it says what would settle it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.anti_patterns import anti_pattern
from brokers.contender import Contender
from brokers.contenders import all_contenders, declared
from brokers.registry import installed
from core.fault import FaultKind
from harness.analysis.fault_evidence import FaultEvidence
from harness.analysis.fault_outcomes import AT_LEAST_ONCE
from harness.analysis.judgement_words import listed
from harness.analysis.judgements import FIGURES, P99, FamilyJudgement, PairJudgement
from harness.analysis.standings import Family, families
from harness.analysis.statistics import CONFIDENCE
from harness.analysis.verdict import offered_workload
from harness.results.run_record import Comparison

REPLICA_FAULTS: tuple[FaultKind, ...] = ("replica-kill", "replica-restart")
_ALIKE = 1.5
"""Contenders whose slowdowns differ by less than this factor are named together."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The advice, and how certain it is."""

    sentence: str
    certainty: str


def recommend(comparison: Comparison, evidence: FaultEvidence) -> Recommendation | None:
    """Return the advice from a comparison and its contenders' faults; None with too few rounds."""
    ranked = [family for family in families(comparison) if family.judgement.contenders]
    if not ranked:
        return None
    first = next((family for family in ranked if _unbeaten(family)), ranked[0])
    said = [_take(first), *_lossy(first)]
    stored = next((family for family in ranked if family.delivery == AT_LEAST_ONCE), None)
    said += _without_loss(first, stored, evidence)
    return Recommendation(" ".join(said), _certainty(comparison, ranked))


def _take(family: Family) -> str:
    """`Take what you run: at this load valkey, redis and nats are equivalent; not mosquitto, 8.2x slower at p99.`"""
    judgement, best = family.judgement, _unbeaten(family)
    if not best:
        return "Take none of these: the fastest contender here is an anti-pattern."
    if len(judgement.contenders) == 1:
        return f"There is no choice to make: only {best[0]} was measured with enough rounds."
    rest = _slower(judgement, best, _ordered(family))
    tail = f"; not {rest}" if rest else ""
    if len(best) == 1:
        return f"Take {best[0]}: at this load no other is as fast{tail}."
    if judgement.choice == "equivalent":
        return f"Take what you run: at this load {listed(best)} are equivalent{tail}."
    if judgement.choice == "different":
        strengths = [f"{name} {_strength(judgement, name, best)}" for name in best]
        return f"Take what suits you: at this load {listed(strengths)}{tail}."
    return f"Take what you run for now: at this load it is not settled which of {listed(best)} is faster{tail}."


def _lossy(family: Family) -> list[str]:
    """What the unbeaten contenders lost although nothing was broken: no speed makes up for it."""
    counts = [
        f"{one.contender} lost {one.total('lost'):,} of {one.total('expected'):,} deliveries"
        for one in family.standings
        if one.contender in _unbeaten(family) and one.total("lost")
    ]
    return [f"But at this load {listed(counts)}."] if counts else []


def _unbeaten(family: Family) -> list[str]:
    """The unbeaten contenders without anti-patterns, which are never recommended."""
    return [name for name in _ordered(family) if name in family.judgement.unbeaten and not anti_pattern(name)]


def _ordered(family: Family) -> list[str]:
    return [standing.contender for standing in family.standings if standing.contender in family.judgement.contenders]


def _strength(judgement: FamilyJudgement, name: str, best: Sequence[str]) -> str:
    """`is faster in p50 and the broker hop than redis`."""
    wins = {other: [_words(one) for one in judgement.slower_in(other, name)] for other in best if other != name}
    said = [f"is faster in {listed(figures)} than {other}" for other, figures in wins.items() if figures]
    return listed(said) or "is equivalent to the others, or not settled"


def _words(judged: PairJudgement) -> str:
    return next(figure.words for figure in FIGURES if figure.name == judged.figure)


def _slower(judgement: FamilyJudgement, best: Sequence[str], names: Sequence[str]) -> str:
    """`rabbitmq, 3.9x slower at p99, or mosquitto and nats-mqtt, 7.4x to 8.2x`: against the first of the best."""
    ratios: list[tuple[float, str, str]] = []
    for name in names:
        if name in best:
            continue
        found = judgement.slower_in(name, best[0]) or next(
            (slower for other in best if (slower := judgement.slower_in(name, other))), ()
        )
        if found:
            judged = next((one for one in found if one.figure == P99.name), None) or max(
                found, key=lambda one: one.ratio.estimate
            )
            ratios.append((judged.ratio.estimate, name, _words(judged)))
    groups: list[list[tuple[float, str, str]]] = []
    for entry in sorted(ratios):
        if groups and groups[-1][0][2] == entry[2] and entry[0] < groups[-1][0][0] * _ALIKE:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return " nor ".join(_group(group) for group in groups)


def _group(group: Sequence[tuple[float, str, str]]) -> str:
    low, high = f"{group[0][0]:.2g}", f"{group[-1][0]:.2g}"
    often = f"{low}x" if low == high else f"{low}x to {high}x"
    return f"{listed([name for _, name, _ in group])} ({often} slower in {group[0][2]})"


def _without_loss(first: Family, stored: Family | None, evidence: FaultEvidence) -> list[str]:
    """What to take if a replica's restart must lose nothing: contenders that replay and lost nothing in this fault."""
    if stored is None:
        programs = {contender.program for contender in _known(_unbeaten(first))}
        found = [one.name for one in all_contenders() if one.program in programs and _replays(one)]
    else:
        lossy = {one.contender for one in stored.standings if one.total("lost")}
        kept = [name for name in _unbeaten(stored) if name not in lossy]
        found = [contender.name for contender in _known(kept) if _replays(contender)]
    found = [name for name in found if not evidence.lost_by(name)]
    if not found:
        return []
    broken = {name: [kind for kind in REPLICA_FAULTS if evidence.of(name, kind)] for name in found}
    proven = [name for name in found if broken[name]]
    rest = [name for name in found if not broken[name]]
    said = f"If no event may be lost when a replica restarts, take {listed(proven or found, 'or')}"
    where = "measured here" if stored is None else "tested in a fault here"
    if not proven:
        return [f"{said}, which {_replay(found)} (declared, not {where})."]
    kinds = [kind for kind in REPLICA_FAULTS if all(kind in broken[name] for name in proven)]
    also = f"; {listed(rest)} {_replay(rest)} too, not {where}" if rest else ""
    which = listed(kinds) if kinds else f"either {listed(REPLICA_FAULTS, 'or')}"
    return [f"{said}, which lost nothing in any fault (including {which}){also}."]


def _replay(names: Sequence[str]) -> str:
    return "replays" if len(names) == 1 else "replay"


def _known(names: Sequence[str]) -> list[Contender]:
    return [contender for name in names if (contender := declared(name)) is not None]


def _replays(contender: Contender) -> bool:
    adapter = installed().serving(contender.url.partition("://")[0])
    return adapter is not None and adapter.replay and not contender.embedded


def _certainty(comparison: Comparison, ranked: Sequence[Family]) -> str:
    rounds = sorted({len(s.runs) for family in ranked for s in family.standings if s not in family.unranked})
    often = f"{rounds[0]}" if rounds[0] == rounds[-1] else f"{rounds[0]} to {rounds[-1]}"
    margin = comparison.stopping.margin
    said = (
        f"{CONFIDENCE:.0%} certain, over every pair in p50, p90, p99, the broker hop and CPU together: {often} valid rounds of each, "
        f"{offered_workload(comparison)}; equivalent means within {margin:g}x."
    )
    open_pairs = [judged for family in ranked for judged in family.judgement.unsettled]
    if not open_pairs:
        return said
    needed = max(open_pairs, key=lambda judged: judged.rounds_needed)
    more = (
        f"about {needed.rounds_needed} more rounds, {max(1, round(needed.minutes_needed))} min"
        if needed.rounds_needed
        else "more rounds"
    )
    return (
        f"{said} Not settled: {len(open_pairs)} of {sum(_headlines(family) for family in ranked)} judgements; {more} would "
        "probably settle the last."
    )


def _headlines(family: Family) -> int:
    headline = [figure.name for figure in FIGURES if figure.headline]
    return sum(len(family.judgement.by_figure.get(name, ())) for name in headline)
