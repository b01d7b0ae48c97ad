"""A family's judgements as sentences: who is equivalent, who is slower and by how much, what is not settled."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis.judgements import BROKER, CPU, FIGURES, FamilyJudgement, JudgedFigure, PairJudgement
from harness.analysis.statistics import CONFIDENCE, Interval

CERTAIN = f" ({CONFIDENCE:.0%} certain)"
MOST_ROUNDS = 500
"""Above this, no number is given: any difference is too small to find here."""
_FEW_PAIRS = 3
_WHERE = {figure.name: f"at {figure.words}" for figure in FIGURES} | {BROKER.name: "in the broker hop"}


def ms(value: float) -> str:
    """Milliseconds to three significant digits, without a unit."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def seconds(value: Interval | float | None) -> str:
    """`2.3 s (2.1 to 2.6)`; a dash if it was not measured."""
    if isinstance(value, Interval):
        return f"{_digits(value.estimate)} s ({_digits(value.low)} to {_digits(value.high)})"
    return "–" if value is None else f"{_digits(value)} s"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def times(ratio: Interval, how: str = "slower") -> str:
    """`1.4x slower [1.3, 1.6]`."""
    digits = 2 if ratio.estimate < 1.995 else 1
    return f"{ratio.estimate:.{digits}f}x {how} [{ratio.low:.{digits}f}, {ratio.high:.{digits}f}]"


def within(margin: float) -> str:
    """`equivalent within 1.25x`."""
    return f"equivalent within {margin:g}x"


def unbeaten(judged: FamilyJudgement) -> str:
    """The family's best contenders, in one clause."""
    best = judged.unbeaten
    if len(best) == 1:
        return f"{best[0]} is the fastest"
    if judged.choice == "equivalent":
        return f"{listed(best)} are {within(judged.margin)} at {_figures(judged, best)}"
    if judged.choice == "different":
        return f"each of {listed(best)} is faster in a different figure ({listed(_trade_offs(judged))})"
    return f"it is not settled which of {listed(best)} is faster, or whether they are equivalent"


def _figures(judged: FamilyJudgement, names: Sequence[str]) -> str:
    """The headline figures in which the first two names were judged."""
    seen = {one.figure for one in judged.headline(names[0], names[1])}
    return listed([figure.words for figure in FIGURES if figure.name in seen])


def _trade_offs(judged: FamilyJudgement) -> list[str]:
    best = judged.unbeaten
    found = [one for i, a in enumerate(best) for b in best[i + 1 :] for one in judged.headline(a, b)]
    return [
        f"{one.slower} is {times(one.ratio)} than {one.faster} {_WHERE[one.figure]}" for one in found if _apart(one)
    ]


def _apart(one: PairJudgement) -> bool:
    return one.word == "different"


def beaten(judged: FamilyJudgement) -> list[str]:
    """Each beaten contender, with its largest difference from the first unbeaten one."""
    best = judged.unbeaten
    said = []
    for name in judged.contenders:
        if name in best:
            continue
        by = next(other for other in (*best, *judged.contenders) if judged.slower_in(name, other))
        worst = max(judged.slower_in(name, by), key=lambda one: one.ratio.estimate)
        than = "" if by == best[0] and len(best) == 1 else f" than {by}"
        said.append(f"{name} is {times(worst.ratio)} {_WHERE[worst.figure]}{than}")
    return said


def of_figure(judged: FamilyJudgement, figure: JudgedFigure) -> str:
    """One figure, compared with the contender that is best in it; empty without pairs."""
    pairs = judged.by_figure.get(figure.name, ())
    if not pairs:
        return ""
    names = {name for one in pairs for name in (one.faster, one.slower)}
    first = min(names, key=lambda name: sum(one.slower == name for one in pairs))
    against = {name: one for name in judged.contenders if name != first and (one := judged.pair(figure, first, name))}
    equal = [name for name, one in against.items() if one.word == "equivalent"]
    how = "more" if figure is CPU else "slower"
    alike, alone = _alike(judged, figure, first, equal)
    said = [f"{listed(alike)} are {within(judged.margin)}"] if equal else []
    said += [f"{listed(alone)} {_is(alone)} equivalent to {first} only"] if alone else []
    slower = [f"{name} is {times(one.ratio, how)}" for name, one in against.items() if _apart(one)]
    open_ = [name for name, one in against.items() if not one.settled]
    said += [f"compared with {first}, {listed(slower)}"] if slower else []
    said += [f"not settled between {first} and {listed(open_)}"] if open_ else []
    return "; ".join(said)


def _alike(
    judged: FamilyJudgement, figure: JudgedFigure, first: str, equal: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The contenders that are pairwise equivalent, and those that are equivalent only to the first."""
    alike = [first]
    alone: list[str] = []
    for name in equal:
        pairs = [judged.pair(figure, name, other) for other in alike]
        (alike if all(one and one.word == "equivalent" for one in pairs) else alone).append(name)
    return alike, alone


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def not_settled(judged: FamilyJudgement, *, named: bool = False) -> str:
    """The unsettled pairs of the headline figures, and the rounds that would settle them; empty if all are settled.

    With `named` it names the promise, which distinguishes it from another promise's sentence.
    """
    rest = judged.unsettled
    if not rest:
        return ""
    clauses = []
    for figure in FIGURES:
        pairs = [one for one in rest if one.figure == figure.name]
        if pairs:
            clauses.append(f"{_WHERE[figure.name]} {_pairs(pairs)}")
    among = f" among {judged.delivery}" if named else ""
    return f"Not settled{among}: {listed(clauses)}; {_more(rest)}."


def blurred(judged: FamilyJudgement) -> str:
    """The pairs for which the hosts' clocks are too inexact; empty on one host."""
    said = [
        f"{one.faster} and {one.slower} {_WHERE[figure.name]} ({one.ratio.estimate:.2f} x, within {one.clock_bound:.0%})"
        for figure in FIGURES
        for one in judged.by_figure.get(figure.name, ())
        if one.blurred
    ]
    if not said:
        return ""
    return (
        f"The hosts' clocks are not known well enough to judge {listed(said[:_FEW_PAIRS])}{' and others' if len(said) > _FEW_PAIRS else ''}: "
        "more rounds do not help; hosts that are closer to one another do."
    )


def _pairs(pairs: Sequence[PairJudgement]) -> str:
    if len(pairs) > _FEW_PAIRS:
        return f"{len(pairs)} pairs"
    return listed([f"{one.faster} and {one.slower} ({_range(one.ratio)})" for one in pairs])


def _range(ratio: Interval) -> str:
    if not math.isfinite(ratio.high):  # the look was too early for a judgement
        return f"{ratio.estimate:.2f}x so far"
    return f"{ratio.estimate:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def _more(rest: Sequence[PairJudgement]) -> str:
    most = max(rest, key=lambda one: one.rounds_needed)
    if most.rounds_needed > MOST_ROUNDS:
        return f"more than {MOST_ROUNDS} further rounds would be needed: the difference is close to the margin"
    rounds = "1 more round" if most.rounds_needed == 1 else f"{most.rounds_needed} more rounds"
    minutes = max(1, round(most.minutes_needed))
    return f"about {rounds} ({minutes} {'minute' if minutes == 1 else 'minutes'}): `--rounds {most.rounds + most.rounds_needed}`"
