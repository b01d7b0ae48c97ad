"""The last sentences of an answer: take X because A, B; if C, take Y."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.contenders import program_of_result
from harness.analysis.fault_outcomes import AT_LEAST_ONCE
from harness.analysis.judgements import FIGURES
from harness.analysis.standings import families
from harness.analysis.statistics import CONFIDENCE
from harness.choose.choose import Answer, Judged
from harness.choose.failover_queries import FittingForm, fitting_form, forms_of
from harness.choose.fault_queries import asks_of_faults, faults_not_measured, kept_everything, may_lose_nothing
from harness.choose.needs import Needs
from harness.choose.result_queries import replays, span


def advice(answer: Answer, needs: Needs) -> str:
    """What to take and why, and the alternative; or what to give up if nothing is left."""
    first = _first(answer, needs)
    if first is None:
        return _nothing_left(answer)
    name = first.contender
    form = fitting_form(name, needs, answer.results) if needs.nodes > 1 else None
    take = f"{name}, run as {form.name}," if form else name
    because = ", ".join(_because(answer, needs, first))
    return " ".join([f"Take {take} because {because}.", _otherwise(answer, needs, first), *_next(answer)])


def _first(answer: Answer, needs: Needs) -> Judged | None:
    """Return the first with the weakest sufficient promise, because nobody should pay for more than they need.

    If faults decide, contenders that went through faults come before unknown ones. If nothing may be lost, the stronger
    promise comes first.
    """
    weakest_first = not may_lose_nothing(needs)
    found = [
        judged
        for delivery in sorted(answer.left, reverse=weakest_first)
        for group in answer.left[delivery]
        for judged in group
    ]
    proven = [judged for judged in found if asks_of_faults(needs) and _proven(judged.contender, answer, needs)]
    return next(iter([*proven, *found]), None)


def _proven(name: str, answer: Answer, needs: Needs) -> bool:
    if needs.nodes > 1:
        return bool(fitting_form(name, needs, answer.results))
    return not faults_not_measured(name, needs, answer.results)


def _next(answer: Answer) -> list[str]:
    """The first command that fills a gap: its result may change the answer."""
    return [f"Next, because it was not measured: {answer.commands[0]}."] if answer.commands else []


def _because(answer: Answer, needs: Needs, first: Judged) -> list[str]:
    name = first.contender
    said = []
    program = program_of_result(name)
    if program in needs.have:
        said.append(f"you already run {program}")
    said.append(_place(answer, name))
    if needs.promise == AT_LEAST_ONCE:
        said.append(f"it promises {AT_LEAST_ONCE}")
    if needs.replay and replays(name):
        said.append("it replays")
    kept = kept_everything(name, needs, answer.results)
    form = fitting_form(name, needs, answer.results) if needs.nodes > 1 else None
    return [*said, *([kept] if kept else []), *([f"as {form.name} it is {form.said}"] if form else [])]


def _place(answer: Answer, name: str) -> str:
    """Its rank at the measured load, with its p99 and the source."""
    figure = span(answer.base, name)
    family = next(one for one in families(answer.base.comparison) if any(s.contender == name for s in one.standings))
    judgement = family.judgement
    if name not in judgement.contenders:
        return f"no measurement rules it out, but it has too few rounds to be ranked ({figure})"
    if len(judgement.contenders) == 1:
        return f"it is the only measured contender with its promise ({figure})"
    if name not in judgement.unbeaten:
        worst = max(
            (one for other in judgement.contenders if other != name for one in judgement.slower_in(name, other)),
            key=lambda one: one.ratio.estimate,
        )
        words = next(known.words for known in FIGURES if known.name == worst.figure)
        return f"though {worst.faster} is {worst.ratio.estimate:.2f}x faster in {words} ({figure})"
    if judgement.unbeaten == (name,):
        return f"it is the fastest at {CONFIDENCE:.0%} certainty ({figure})"
    by_choice = {
        "equivalent": "no other is faster by more than the margin",
        "different": "no other is faster in every figure",
    }
    return f"{by_choice.get(judgement.choice, 'no other was shown to be faster')} ({figure})"


def _otherwise(answer: Answer, needs: Needs, first: Judged) -> str:
    """If C, take Y: for a shorter silence, a stronger promise, three nodes, or another remaining contender."""
    quietest = _quietest(answer, needs)
    if quietest is not None and quietest[0] != first.contender:
        name, form = quietest
        return f"If a shorter silence matters more, take {name}, run as {form.name}: {form.said}."
    stored = [j for group in answer.left.get(AT_LEAST_ONCE, []) for j in group if replays(j.contender)]
    if first.delivery != AT_LEAST_ONCE and stored:
        return f"If no event may be lost when a replica restarts, take {stored[0].contender}."
    forms = forms_of(first.contender)
    if needs.nodes == 1 and forms:
        return f"If a node may die, look at {forms[0]}: `fanbench choose --nodes 3`."
    others = _runner_up(answer, first)
    return (
        f"If it does not suit you, take {others}." if others else "If it does not suit you, no other contender is left."
    )


def _quietest(answer: Answer, needs: Needs) -> tuple[str, FittingForm] | None:
    """Return the remaining contender whose cluster has the shortest silence."""
    names = [j.contender for groups in answer.left.values() for group in groups for j in group]
    found = [(form, name) for name in names if needs.nodes > 1 and (form := fitting_form(name, needs, answer.results))]
    return (min(found)[1], min(found)[0]) if found else None


def _runner_up(answer: Answer, first: Judged) -> str:
    rest = [j for groups in answer.left.values() for group in groups for j in group if j is not first]
    return rest[0].contender if rest else ""


def _nothing_left(answer: Answer) -> str:
    """Return the contender with the fewest reasons against it, and so what the user would have to give up."""
    out: Sequence[Judged] = sorted(answer.ruled_out, key=lambda judged: len(judged.reasons))
    if not out:
        return "Take none yet: nothing was measured."
    return (
        f"Take none: each is ruled out. If you can accept this: {'; '.join(out[0].reasons)}, take {out[0].contender}."
    )
