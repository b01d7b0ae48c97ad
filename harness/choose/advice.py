"""The last sentences of an answer: take X because A, B; if C, take Y; and the outcome for programs that already run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from brokers.contenders import program_of_result
from harness.analysis.fault_outcomes import AT_LEAST_ONCE
from harness.analysis.judgement_words import listed
from harness.analysis.judgements import FIGURES, FamilyJudgement, PairJudgement
from harness.analysis.statistics import CONFIDENCE
from harness.choose.certainty import beats_all
from harness.choose.choose import Answer
from harness.choose.failover_queries import FittingForm, fitting_form, forms_of
from harness.choose.fault_queries import (
    asks_of_faults,
    faults_not_measured,
    faults_of,
    kept_everything,
    restarts_without_loss,
    silence_measured,
)
from harness.choose.gaps import absent
from harness.choose.needs import Needs
from harness.choose.preferred import Judged, preferred, proven
from harness.choose.result_queries import lost_here, replays, span


def advice(answer: Answer, needs: Needs) -> str:
    """The recommendation with its reasons and the alternative; or what to give up if nothing is left."""
    first = preferred(answer.left, needs, answer.results)
    if first is None:
        return " ".join([_nothing_left(answer), *_next(answer, needs)])
    name = first.contender
    form = fitting_form(name, needs, answer.results)
    take = f"{name}, run as {form.name}," if form else name
    because = ", ".join(_because(answer, needs, first))
    own = list(_of_own_programs(answer, needs, first))
    return " ".join([f"Take {take} because {because}.", *own, _otherwise(answer, needs, first), *_next(answer, needs)])


def _next(answer: Answer, needs: Needs) -> list[str]:
    """The command that measures what the user already runs, otherwise the first: its result may change the answer."""
    own = set(_own_unmeasured(answer, needs))
    of_own = [
        command for command in answer.commands if command.shows == "comparison" and own & set(command.command.split())
    ]
    return [f"Next, because it was not measured: {command}." for command in [*of_own, *answer.commands][:1]]


def _own_unmeasured(answer: Answer, needs: Needs) -> list[str]:
    """The contenders without a valid run at the answer's load whose programs already run but have no contender left."""
    left = {program_of_result(j.contender) for groups in answer.left.values() for group in groups for j in group}
    names = (*answer.unmeasured, *absent(needs, _seen(answer)))
    return [name for name in names if program_of_result(name) in needs.programs - left]


def _because(answer: Answer, needs: Needs, first: Judged) -> list[str]:
    name = first.contender
    said = []
    program = program_of_result(name)
    if program in needs.programs:
        said.append(f"you already run {program}")
    said.append(_place(answer, first, needs))
    if needs.promise == AT_LEAST_ONCE:
        said.append(f"it promises {AT_LEAST_ONCE}")
    if needs.replay and replays(name):
        said.append("it replays")
    kept = kept_everything(name, needs, answer.results)
    said += [kept] if kept else []
    form = fitting_form(name, needs, answer.results)
    said += [f"as {form.name} it is {form.said}"] if form else []
    said += [f"it {words}" for words in lost_here(answer.base, name)]
    silence = silence_measured(name, needs, answer.results)
    said += [f"{silence} is within {needs.max_silence}"] if silence else []
    if asks_of_faults(needs) and not proven(name, needs, answer.results):
        said.append(f"but what {_open(name, answer, needs)} to it was not measured")
    return said


def _open(name: str, answer: Answer, needs: Needs) -> str:
    """`broker-kill does`: the faults that were not measured, with their verb."""
    if needs.nodes > 1:
        return "the death of a node does"
    missing = faults_not_measured(name, needs, answer.results)
    if not faults_of(name, needs, answer.results):
        return "faults do"
    return f"{listed(missing)} {'does' if len(missing) == 1 else 'do'}"


def _place(answer: Answer, first: Judged, needs: Needs) -> str:
    """Its rank among the remaining contenders at the measured load, with its p99 and the source."""
    name = first.contender
    figure = f"{span(answer.base, name)}{', of one process' if needs.nodes > 1 else ''}"
    judgement = answer.families[first.delivery].judgement
    if name not in judgement.contenders:
        return f"no measurement rules it out, but it has too few rounds to be ranked ({figure})"
    if len(judgement.contenders) == 1:
        return f"it is the only one left with its promise ({figure})"
    if name not in judgement.unbeaten:
        return f"though {_much_slower(judgement, name)} ({figure})"
    if judgement.unbeaten == (name,) and beats_all(judgement, name):
        return f"it is faster than all others at {CONFIDENCE:.0%} certainty ({figure})"
    by_choice = {
        "equivalent": "no other is faster by more than the margin",
        "different": "no other is faster in every figure",
    }
    several = len(judgement.unbeaten) > 1
    said = by_choice.get(judgement.choice, "") if several else ""
    return f"{said or 'no other was shown to be faster'} ({figure})"


def _much_slower(judgement: FamilyJudgement, name: str) -> str:
    """`nats is 1.58x faster in the broker hop`: the largest shown difference."""
    found: list[PairJudgement] = [
        one for other in judgement.contenders if other != name for one in judgement.slower_in(name, other)
    ]
    worst = max(found, key=lambda one: one.ratio.estimate)
    words = next(known.words for known in FIGURES if known.name == worst.figure)
    return f"{worst.faster} is {worst.ratio.estimate:.2f}x faster in {words}"


def _of_own_programs(answer: Answer, needs: Needs, first: Judged) -> Iterator[str]:
    """The outcome for each program that already runs and is not recommended."""
    for program in sorted(needs.programs - {program_of_result(first.contender)}):
        left = [j for groups in answer.left.values() for group in groups for j in group if _is_of(j, program)]
        out = [judged for judged in answer.ruled_out if _is_of(judged, program)]
        unmeasured = [name for name in _own_unmeasured(answer, needs) if program_of_result(name) == program]
        if left:
            yield _not_first(answer, program, left[0], first)
        elif unmeasured:
            yield f"But first measure {listed(unmeasured)}, because you already run {program}."
        elif out:
            reasons = "; ".join(min(out, key=lambda judged: len(judged.reasons)).reasons)
            yield f"{program}, which you already run, is ruled out: {reasons}."
        else:
            yield f"{program}, which you already run, has no contender that fits these needs."


def _is_of(judged: Judged, program: str) -> bool:
    return program_of_result(judged.contender) == program


def _seen(answer: Answer) -> list[str]:
    return sorted({run.contender for result in answer.results for run in result.comparison.runs})


def _not_first(answer: Answer, program: str, own: Judged, first: Judged) -> str:
    named = program if own.contender == program else f"{own.contender}, of {program}"
    start = f"{named}, which you already run, is left too"
    judgement = answer.families[own.delivery].judgement
    if own.delivery != first.delivery:
        return f"{start}; it promises {own.delivery}."
    slower = own.contender in judgement.contenders and own.contender not in judgement.unbeaten
    return f"{start}; {_much_slower(judgement, own.contender)}." if slower else f"{start}."


def _otherwise(answer: Answer, needs: Needs, first: Judged) -> str:
    """The alternative: if C, take Y, for a shorter silence, a stronger promise, three nodes, or another contender."""
    quietest = _quietest(answer, needs)
    if quietest is not None and quietest[0] != first.contender:
        name, form = quietest
        return f"If a shorter silence matters more, take {name}, run as {form.name}: {form.said}."
    stronger = _kept_over_a_restart(answer) if first.delivery != AT_LEAST_ONCE else ""
    if stronger:
        return f"If no event may be lost when a replica restarts, take {stronger}."
    forms = forms_of(first.contender)
    if needs.nodes == 1 and forms:
        return f"If a node may die, look at {forms[0]}: add --nodes 3 to these needs."
    others = _runner_up(answer, first)
    return (
        f"If it does not suit you, take {others}." if others else "If it does not suit you, no other contender is left."
    )


def _kept_over_a_restart(answer: Answer) -> str:
    """The first contender that replays and lost nothing when a replica died, or that only declares it; otherwise empty."""
    names = [j.contender for group in answer.left.get(AT_LEAST_ONCE, []) for j in group if replays(j.contender)]
    shown = {name: restarts_without_loss(name, answer.results) for name in names}
    open_ = {name: kinds for name, kinds in shown.items() if kinds is not None}
    if not open_:
        return ""
    own, kinds = next(iter(open_.items()))
    if kinds:
        return f"{own}, which lost nothing in {listed(kinds)}"
    also = next((f"; {name} lost nothing in {listed(kinds)}" for name, kinds in open_.items() if kinds), "")
    return f"{own}, which replays according to its adapter, not yet tested in a fault here{also}"


def _quietest(answer: Answer, needs: Needs) -> tuple[str, FittingForm] | None:
    """Return the remaining contender whose cluster has the shortest silence."""
    names = [j.contender for groups in answer.left.values() for group in groups for j in group]
    found = [(form, name) for name in names if (form := fitting_form(name, needs, answer.results))]
    return (min(found)[1], min(found)[0]) if found else None


def _runner_up(answer: Answer, first: Judged) -> str:
    rest = [j for groups in answer.left.values() for group in groups for j in group if j is not first]
    return rest[0].contender if rest else ""


def _nothing_left(answer: Answer) -> str:
    """The contender with the fewest reasons against it, which shows what the user would have to give up."""
    out: Sequence[Judged] = sorted(answer.ruled_out, key=lambda judged: len(judged.reasons))
    if not out:
        return "Take none yet: nothing was measured."
    start = "Take none yet: each that was measured" if answer.unmeasured or answer.commands else "Take none: each"
    return f"{start} is ruled out. If you can accept this: {'; '.join(out[0].reasons)}, take {out[0].contender}."
