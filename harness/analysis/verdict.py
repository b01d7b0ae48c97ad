"""The verdict as sentences: what a comparison's numbers allow us to conclude, the answer first."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from core.scenario import Scenario
from harness.analysis.clock_bounds import bounds_told
from harness.analysis.judgement_words import CERTAIN, beaten, blurred, listed, ms, not_settled, of_figure, unbeaten
from harness.analysis.judgements import BROKER, CPU
from harness.analysis.standings import Family, Standing, families, standings
from harness.analysis.statistics import MIN_ROUNDS
from harness.results.run_record import CAUSE_WORDS, Comparison

FEW = 3
"""The maximum number of slower contenders that the first sentence names."""

_HOP_NAMES = {"schedule": "schedule lag", "broker": "broker hop", "fanout": "fan-out to the clients"}


def workload(scenario: Scenario) -> str:
    """`500 clients on 2 replicas at 20 events/s`."""
    replicas = "1 replica" if scenario.replicas == 1 else f"{scenario.replicas} replicas"
    clients = "1 client" if scenario.clients == 1 else f"{scenario.clients:,} clients"
    return f"{clients} on {replicas} at {scenario.rate_hz:g} events/s"


def offered_workload(comparison: Comparison) -> str:
    """`500 clients on 2 replicas at 32 events/s`: the rate of the schedule, which may differ from the requested one.

    Extra runs in which something breaks have other phases, and with sessions another rate.
    """
    runs = comparison.ranked or comparison.runs  # of faults alone, all runs break something
    offered = [run.figures["offered_hz"] for run in runs if run.valid and "offered_hz" in run.figures]
    if not offered:
        return workload(comparison.scenario)
    rate = float(f"{median(offered):.3g}")
    return workload(comparison.scenario.model_copy(update={"rate_hz": rate}))


def verdict(comparison: Comparison) -> list[str]:
    """Return sentences: who leads, how much of the latency is the broker's, what was lost, what limits it, what to do.

    All figures come from valid runs.
    """
    every = standings(comparison)
    measured = [standing for standing in every if standing.runs]
    if not measured:
        return [_nothing(comparison), *_distrust(comparison)]
    found = families(comparison)
    sentences = [*_answer(comparison, found), *_apart(found), *_broker_share(measured), *_floor(measured)]
    sentences += bounds_told([run for standing in measured for run in standing.runs])
    return [*sentences, *_losses(measured), *_limits(measured), *_advice(found), *_distrust(comparison)]


def _advice(found: Sequence[Family]) -> list[str]:
    if not any(family.judgement.contenders for family in found):
        return []
    several = [family.judgement.choice for family in found if len(family.judgement.unbeaten) > 1]
    if not several:
        advice = ""
    elif set(several) == {"equivalent"}:
        advice = "The equivalent contenders do not differ at this load: keep what you already run. "
    elif "not settled" in several:
        advice = "Until this is settled, no measurement here favours one of them. "
    else:
        advice = "Take the one that is faster in the figure that matters to you. "
    return [f"{advice}`fanbench choose` checks these figures against your needs."]


def _nothing(comparison: Comparison) -> str:
    if not comparison.runs:
        return "No run finished, so there is nothing to compare."
    of = " without a fault" if any(run.valid for run in comparison.runs) else ""
    return f"No run{of} is valid, so there is no verdict; the report gives the reasons."


def _answer(comparison: Comparison, found: Sequence[Family]) -> list[str]:
    """The leaders of each promise, and the slower contenders with their ratios if the sentence stays short."""
    ranked = [family for family in found if family.judgement.contenders]
    opening = f"For {offered_workload(comparison)}"
    if not ranked:
        return [f"{opening}, {_too_few([s for family in found for s in family.standings])}."]
    rest = {family.delivery: _followers(family) for family in found if any(s.runs for s in family.standings)}
    if len(ranked) == 1:
        leaders = _leaders(ranked[0])
        behind = rest.pop(ranked[0].delivery)
        if len(behind) <= FEW:
            leaders, behind = "; ".join([leaders, *behind]), []
        sentences = [f"{opening}, {leaders}{CERTAIN}.", *([f"Of the others, {listed(behind)}."] if behind else [])]
    else:
        said = "; ".join(f"among {family.delivery}, {_leaders(family)}" for family in ranked)
        sentences = [f"{opening}: {said}{CERTAIN}."]
    return sentences + [f"Among {delivery}, {listed(behind)}." for delivery, behind in rest.items() if behind]


def _followers(family: Family) -> list[str]:
    few = [f"{standing.contender} has too few valid rounds for a verdict" for standing in family.unranked]
    return beaten(family.judgement) + few


def _apart(found: Sequence[Family]) -> list[str]:
    """Judge the broker hop and CPU separately, because a sum of hops hides the former.

    Then name what is not settled.
    """
    several = len([family for family in found if len(family.judgement.contenders) > 1]) > 1
    said = [
        f"{head}{f' among {family.delivery}' if several else ''}: {words}."
        for figure, head in ((BROKER, "The broker hop alone"), (CPU, "CPU per delivery"))
        for family in found
        if (words := of_figure(family.judgement, figure))
    ]
    said += [words for family in found if (words := not_settled(family.judgement, named=several))]
    return said + [words for family in found if (words := blurred(family.judgement))]


def _too_few(found: Sequence[Standing]) -> str:
    most = max(len(standing.runs) for standing in found)
    rounds = "1 valid round is" if most == 1 else f"{most} valid rounds are"
    percentile = min(s.highest_carried for s in found if s.runs)
    figures = listed([f"{s.contender} {ms(s.pooled().percentile_ms(percentile))} ms" for s in found if s.runs])
    return f"{rounds} too few for a verdict ({MIN_ROUNDS} are needed: --rounds {MIN_ROUNDS}); p{percentile} so far: {figures}"


def _leaders(family: Family) -> str:
    judged = family.judgement
    by_name = {standing.contender: standing for standing in family.standings}
    if len(judged.contenders) == 1:
        (name,) = judged.contenders
        return f"{name} has {_p99(by_name[name])}"
    best = unbeaten(judged)
    return f"{best}: {_p99(by_name[judged.unbeaten[0]])}" if len(judged.unbeaten) == 1 else best


def _p99(standing: Standing) -> str:
    """p99, or the highest percentile with enough events."""
    percentile = standing.highest_carried
    interval = standing.percentile(percentile)
    assert interval is not None  # a ranked contender has values
    return f"p{percentile} {ms(interval.estimate)} ms [{ms(interval.low)}, {ms(interval.high)}]"


def _floor(measured: Sequence[Standing]) -> list[str]:
    floors = [standing for standing in measured if standing.floor]
    if not floors or len(floors) == len(measured):
        return []
    return [f"Without a broker (memory, the floor of the harness), {_p99(floors[0])}."]


def _broker_share(measured: Sequence[Standing]) -> list[str]:
    ranked = [standing for standing in measured if not standing.floor]
    shares = {one.contender: share for one in ranked if (share := one.share("broker")) is not None}
    if not shares:
        return []
    names = sorted(shares, key=lambda name: shares[name])
    least, most = names[0], names[-1]
    if f"{shares[least]:.0%}" == f"{shares[most]:.0%}":
        amount = f"{_per_cent(shares[most])} of the mean latency"
    else:
        amount = f"{_per_cent(shares[least])} ({least}) to {_per_cent(shares[most])} ({most}) of the mean latency"
    mains = {hop for one in ranked if (hop := one.main_hop())}
    rest = f"; the {_HOP_NAMES[mains.pop()]} is the largest part" if len(mains) == 1 else ""
    # A service that streams the events itself has no broker hop, so the sentence names the contenders that have one.
    whose = "The broker hop" if len(shares) == len(ranked) else f"The broker hop of {listed(names)}"
    return [f"{whose} is {amount}{rest}."]


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0095 else f"{100 * share:.1f}%"


def _losses(measured: Sequence[Standing]) -> list[str]:
    losers = [standing for standing in measured if standing.total("lost")]
    if not losers:
        return ["Nothing was lost."]
    said = [
        f"{s.contender} lost {s.total('lost'):,} of {s.total('expected'):,} deliveries "
        f"({100 * s.total('lost') / s.total('expected'):.2g}%: {listed(_causes(s))})"
        for s in losers
    ]
    rest = "; the others lost nothing" if len(losers) < len(measured) else ""
    return [f"{listed(said)}{rest}."]


def _causes(standing: Standing) -> list[str]:
    """`12 not handed over by the broker`, …, the largest first."""
    counts = {words: standing.lost_to(cause) for cause, words in CAUSE_WORDS.items()}
    return [f"{counts[words]:,} {words}" for words in sorted(counts, key=lambda one: -counts[one]) if counts[words]]


def _limits(measured: Sequence[Standing]) -> list[str]:
    limits = [(limit[1], limit[0], standing.contender) for standing in measured if (limit := standing.nearest_limit())]
    if not limits:
        return []
    parts = {part for _, part, _ in limits}
    core, part, contender = max(limits)
    if len(parts) == 1:
        return [
            f"The part nearest its limit was the {part} with every contender: {core:.0%} of a core in the median run of {contender}."
        ]
    by_part = {part: [name for _, of, name in limits if of == part] for part in sorted(parts)}
    said = "; ".join(f"the {part} with {listed(names)}" for part, names in by_part.items())
    return [
        f"The part nearest its limit was {said}; the nearest was the {part} with {contender}, at {core:.0%} of a core in the median run."
    ]


def _distrust(comparison: Comparison) -> list[str]:
    refused = sum(not run.valid for run in comparison.runs)
    said = []
    if refused:
        runs = "1 run" if len(comparison.runs) == 1 else f"{len(comparison.runs)} runs"
        said.append(f"{refused} of {runs} refused and not ranked; the report gives the reasons.")
    if not comparison.complete:
        said.append("The comparison was interrupted: it contains only the finished runs.")
    return said
