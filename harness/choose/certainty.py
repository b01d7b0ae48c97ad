"""How certain the order of the remaining contenders is, in p50, p90, p99 and the broker hop together."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.judgement_words import listed
from harness.analysis.judgements import FamilyJudgement
from harness.analysis.standings import Family
from harness.analysis.statistics import CONFIDENCE, MIN_ROUNDS


def certainty(family: Family, names: Sequence[str]) -> str:
    """One sentence about the remaining contenders `names` of one promise; `family` has their judgements."""
    judgement, delivery = family.judgement, family.delivery
    if not judgement.contenders:
        return (
            f"{delivery}: not certain, because there are fewer than {MIN_ROUNDS} rounds; the order is by single figures"
        )
    if len(names) == 1:
        return f"{delivery}: {names[0]} is the only one left"
    if len(judgement.contenders) == 1:
        return f"{delivery}: only {judgement.contenders[0]} has the {MIN_ROUNDS} rounds that a verdict needs"
    best = [name for name in names if name in judgement.unbeaten]
    return f"{delivery}: {_best(judgement, best)}, at {CONFIDENCE:.0%} certainty"


def beats_all(judgement: FamilyJudgement, name: str) -> bool:
    """Whether every other contender is slower than this one in some figure and faster in none."""
    return all(_beats(judgement, name, other) for other in judgement.contenders if other != name)


def _beats(judgement: FamilyJudgement, one: str, other: str) -> bool:
    return bool(judgement.slower_in(other, one)) and not judgement.slower_in(one, other)


def _best(judgement: FamilyJudgement, best: Sequence[str]) -> str:
    if len(best) == 1 and beats_all(judgement, best[0]):
        return f"{best[0]} is faster than all others"
    rest = [name for name in judgement.contenders if name not in best]
    by_best = all(any(_beats(judgement, one, name) for one in best) for name in rest)
    slower = "the others are slower" if by_best else "each of the others is slower than some contender"
    others = f"; {slower}" if rest else ""
    if len(best) == 1:
        return f"none is faster than {best[0]}{others}"
    if judgement.choice == "equivalent":
        return f"{listed(best)} are equivalent{others}"
    if judgement.choice == "different":
        return f"each of {listed(best)} is faster in a different figure{others}"
    return f"it is not settled which of {listed(best)} is faster{others}"
