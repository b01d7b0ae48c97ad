"""The verdict in words: what the numbers of a comparison allow us to say, the answer first."""

from __future__ import annotations

from collections.abc import Sequence

from core.scenario import Scenario
from harness.analysis.standings import Family, Standing, families, standings
from harness.analysis.statistics import CONFIDENCE, MIN_ROUNDS, Interval
from harness.results.run_record import CAUSE_WORDS, Comparison

FEW = 3
"""So many slower contenders are named in the first sentence."""

_CERTAIN = f" ({CONFIDENCE:.0%} certain)"
_HOP_NAMES = {"schedule": "schedule lag", "broker": "broker hop", "fanout": "fan-out to the clients"}


def ms(value: float) -> str:
    """Milliseconds to three significant digits, without a unit."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def times(ratio: Interval) -> str:
    """`1.4 x slower [1.3, 1.6]`."""
    digits = 2 if ratio.estimate < 1.995 else 1
    return f"{ratio.estimate:.{digits}f} x slower [{ratio.low:.{digits}f}, {ratio.high:.{digits}f}]"


def workload(scenario: Scenario) -> str:
    """`500 clients on 2 replicas at 20 events/s`."""
    replicas = "1 replica" if scenario.replicas == 1 else f"{scenario.replicas} replicas"
    clients = "1 client" if scenario.clients == 1 else f"{scenario.clients:,} clients"
    return f"{clients} on {replicas} at {scenario.rate_hz:g} events/s"


def verdict(comparison: Comparison) -> list[str]:
    """Sentences: who leads, what part of the latency is the broker's, what was lost, what bounds it, what to do.

    Every figure in them is of valid runs only.
    """
    every = standings(comparison)
    measured = [standing for standing in every if standing.runs]
    if not measured:
        return [_nothing(comparison), *_distrust(comparison, every)]
    found = families(comparison)
    answer, *others = _answer(comparison, found)
    sentences = [answer, *_broker_share(measured), *others, *_floor(measured), *_losses(measured), *_limits(measured)]
    return sentences + _advice(found) + _distrust(comparison, every)


def _advice(found: Sequence[Family]) -> list[str]:
    if not any(family.groups for family in found):
        return []
    equals = "Any of those that cannot be told apart will do at this load: take what you run already. "
    several = any(len(family.groups[0]) > 1 for family in found if family.groups)
    return [f"{equals if several else ''}`fanbench choose` holds these figures against your own needs."]


def _nothing(comparison: Comparison) -> str:
    if not comparison.runs:
        return "No run was finished: there is nothing to compare."
    return "No run is valid, so nothing can be said; the report has the reasons."


def _answer(comparison: Comparison, found: Sequence[Family]) -> list[str]:
    """Who leads each promise; and, in the same sentence where it stays short, who is how much slower."""
    ranked = [family for family in found if family.groups]
    opening = f"For {workload(comparison.scenario)}"
    if not ranked:
        return [f"{opening}, {_too_few([s for family in found for s in family.standings])}."]
    rest = {family.delivery: _followers(family) for family in found if any(s.runs for s in family.standings)}
    if len(ranked) == 1:
        leaders = _leaders(ranked[0])
        behind = rest.pop(ranked[0].delivery)
        if len(behind) <= FEW:
            leaders, behind = "; ".join([leaders, *behind]), []
        sentences = [f"{opening}, {leaders}{_CERTAIN}.", *([f"Of the others, {listed(behind)}."] if behind else [])]
    else:
        said = "; ".join(f"among {family.delivery}, {_leaders(family)}" for family in ranked)
        sentences = [f"{opening}: {said}{_CERTAIN}."]
    return sentences + [f"Among {delivery}, {listed(behind)}." for delivery, behind in rest.items() if behind]


def _followers(family: Family) -> list[str]:
    said = [
        f"{name} is {times(found.ratio)}"
        for group in family.groups[1:]
        for name in group
        if (found := family.behind_leader(name))
    ]
    return said + [f"{standing.contender} has too few valid rounds for a verdict" for standing in family.unranked]


def _too_few(found: Sequence[Standing]) -> str:
    most = max(len(standing.runs) for standing in found)
    rounds = "1 valid round is" if most == 1 else f"{most} valid rounds are"
    figures = listed([f"{s.contender} {ms(s.pooled().percentile_ms(99))} ms" for s in found if s.runs])
    return f"{rounds} too few for a verdict ({MIN_ROUNDS} are needed: --rounds {MIN_ROUNDS}); p99 so far: {figures}"


def _leaders(family: Family) -> str:
    by_name = {standing.contender: standing for standing in family.standings}
    group = family.groups[0]
    p99 = [by_name[name].pooled().percentile_ms(99) for name in group]
    if len(group) == 1:
        interval = by_name[group[0]].percentile(99)
        assert interval is not None  # a ranked contender has values
        figure = f"p99 {ms(interval.estimate)} ms [{ms(interval.low)}, {ms(interval.high)}]"
        alone = len(family.standings) - len(family.unranked) == 1
        return f"{group[0]} has {figure}" if alone else f"{group[0]} is the fastest: {figure}"
    unseen = max(found.ratio.high for found in family.differences if {found.faster, found.slower} <= set(group))
    return (
        f"no significant difference at p99 between {listed(group)} ({ms(min(p99))} to {ms(max(p99))} ms, "
        f"none more than {unseen:.2f} x another)"
    )


def _floor(measured: Sequence[Standing]) -> list[str]:
    floors = [standing for standing in measured if standing.floor]
    if not floors or len(floors) == len(measured):
        return []
    p99 = ms(floors[0].pooled().percentile_ms(99))
    return [f"Without any broker (memory, the floor of the harness) p99 is {p99} ms."]


def _broker_share(measured: Sequence[Standing]) -> list[str]:
    shares = {s.contender: share for s in measured if not s.floor and (share := s.share("broker")) is not None}
    if not shares:
        return []
    names = sorted(shares, key=lambda name: shares[name])
    least, most = names[0], names[-1]
    if f"{shares[least]:.0%}" == f"{shares[most]:.0%}":
        amount = f"{_per_cent(shares[most])} of the mean latency"
    else:
        amount = f"{_per_cent(shares[least])} ({least}) to {_per_cent(shares[most])} ({most}) of the mean latency"
    mains = {hop for s in measured if not s.floor and (hop := s.main_hop())}
    rest = f"; the {_HOP_NAMES[mains.pop()]} is the largest part" if len(mains) == 1 else ""
    return [f"The broker hop is {amount}{rest}."]


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0095 else f"{100 * share:.1f} %"


def _losses(measured: Sequence[Standing]) -> list[str]:
    losers = [standing for standing in measured if standing.total("lost")]
    if not losers:
        return ["Nothing was lost."]
    said = [
        f"{s.contender} lost {s.total('lost'):,} of {s.total('expected'):,} deliveries "
        f"({100 * s.total('lost') / s.total('expected'):.2g} %: {listed(_causes(s))})"
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
            f"The part nearest its limit was the {part} with every contender, at most {core:.0%} of a core ({contender})."
        ]
    by_part = {part: [name for _, of, name in limits if of == part] for part in sorted(parts)}
    said = "; ".join(f"the {part} with {listed(names)}" for part, names in by_part.items())
    return [f"The part nearest its limit was {said} (at most {core:.0%} of a core: the {part} with {contender})."]


def _distrust(comparison: Comparison, every: Sequence[Standing]) -> list[str]:
    refused = sum(len(standing.refused) for standing in every)
    said = []
    if refused:
        runs = "1 run" if refused == 1 else f"{refused} runs"
        said.append(f"{runs} of {len(comparison.runs)} refused and not ranked; the report has the reasons.")
    if not comparison.complete:
        said.append("The comparison was interrupted: it holds only the runs that were finished.")
    return said
