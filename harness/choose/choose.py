"""`fanbench choose`: needs against stored results. It cites what was measured and never makes a number up.

Every figure in an answer stands in the summary.csv that is named beside it. A load counts for the needed one when it
is the same; a heavier one on which the objective held, and a lighter one on which it broke, settle the objective too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from brokers.anti_patterns import anti_pattern
from brokers.contenders import all_contenders, cluster_contenders
from core.errors import UsageError
from core.resources import resource_folder
from harness.analysis.fault_outcomes import is_fault_run
from harness.analysis.judgement_words import listed
from harness.analysis.standings import FLOOR, families
from harness.analysis.statistics import CONFIDENCE, MIN_ROUNDS
from harness.analysis.stored_results import Result
from harness.analysis.verdict import workload
from harness.choose.failover_queries import against_on_nodes, doubts_on_nodes, parse_silence_s
from harness.choose.needs import Needs
from harness.choose.result_queries import against, doubts, span

SCENARIO_OF = {"poisson": "rooms", "burst": "burst"}
"""The scenario that has a schedule which no option of `fanbench compare` gives."""
REFERENCE = resource_folder("reference")


@dataclass(frozen=True, slots=True)
class Judged:
    """A contender and why it is where it is."""

    contender: str
    delivery: str
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Recommendation:
    """What the results say to the needs."""

    ruled_out: list[Judged] = field(default_factory=list)
    left: dict[str, list[list[Judged]]] = field(default_factory=dict)
    """By promise: groups that cannot be told apart, best first."""
    sure: list[str] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    command: str = ""


def choose(needs: Needs, results: Sequence[Result]) -> Recommendation:
    """Rule out, order what is left, say how sure that is and what was not measured.

    Raises:
        UsageError: the results hold no valid run of any contender.
    """
    parse_silence_s(needs.max_silence)
    base = _nearest(needs, results)
    answer = Recommendation()
    clusters = {contender.name for contender in cluster_contenders()}
    runs = [run for result in results for run in result.comparison.runs]
    names = {
        run.contender: run.delivery
        for run in runs
        if run.contender.partition("?")[0] not in {FLOOR, *clusters} and not anti_pattern(run.contender)
    }
    left: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for name, delivery in names.items():
        speaks_against = (*against(name, delivery, needs, results), *against_on_nodes(name, needs, results))
        if speaks_against:
            answer.ruled_out.append(Judged(name, delivery, speaks_against))
        elif not base.runs_of(name):
            answer.not_measured.append(f"{name} on {workload(base.comparison.scenario)} (no valid run in {base.name})")
        else:
            left[name] = delivery
            unclear[name] = [*doubts(name, needs, results), *doubts_on_nodes(name, needs, results)]
    _order(answer, needs, base, left, unclear)
    _gaps(answer, needs, results, base, list(left), list(names))
    answer.command = _command(needs, base, list(left) or list(names))
    return answer


def _nearest(needs: Needs, results: Sequence[Result]) -> Result:
    """The comparison whose load is nearest to the needed one: of its shape, if any is; of equals with most contenders."""
    found = [result for result in results if result.compares and any(run.valid for run in result.comparison.runs)]
    if not found:
        raise UsageError(
            "the results hold no comparison with a valid run; give directories that fanbench compare wrote"
        )

    def nearness(result: Result) -> tuple[bool, float, int, str]:
        scenario = result.comparison.scenario
        distance = sum(abs(math.log(measured / needed)) for measured, needed in needs.workload(scenario).values())
        contenders = {run.contender for run in result.comparison.runs if run.valid}
        return needs.has_shape_of(scenario), -distance, len(contenders), result.comparison.started_utc

    return max(found, key=nearness)


def _order(
    answer: Recommendation, needs: Needs, base: Result, left: dict[str, str], unclear: dict[str, list[str]]
) -> None:
    """Group what is left by p99 on the nearest load, each promise for itself; what runs already goes first in its group."""
    runs = [run for run in base.comparison.runs if run.contender in left]
    programs = {contender.name: contender.program for contender in all_contenders()}
    for family in families(replace(base.comparison, runs=runs)) if runs else []:
        names = [standing.contender for standing in family.standings]
        groups = [list(group) for group in family.groups] or [names]
        ranked = {name for group in groups for name in group}
        groups += [[name for name in names if name not in ranked]] if len(ranked) < len(names) else []
        found: list[list[Judged]] = []
        for group in groups:
            at_hand = [name for name in group if programs.get(name) in needs.have]
            ordered = at_hand + [name for name in group if name not in at_hand]
            found.append(
                [
                    Judged(
                        name,
                        family.delivery,
                        (
                            span(base, name),
                            *([f"{programs[name]} runs already"] if name in at_hand else []),
                            *(["too few valid rounds to be ranked"] if family.groups and name not in ranked else []),
                            *unclear[name],
                        ),
                    )
                    for name in ordered
                ]
            )
        answer.left[family.delivery] = found
        answer.sure.append(_certainty(family.delivery, family.groups, names))


def _certainty(delivery: str, groups: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    if not groups:
        return f"{delivery}: not sure, fewer than {MIN_ROUNDS} rounds: the order is of single figures"
    if len(names) == 1:
        return f"{delivery}: {names[0]} is the only one left"
    if len(groups[0]) == 1:
        return f"{delivery}: {groups[0][0]} is faster than each of the others, at {CONFIDENCE:.0%} certainty"
    others = "; the others are slower" if len(groups) > 1 else ""
    return f"{delivery}: {listed(groups[0])} cannot be told apart{others}, at {CONFIDENCE:.0%} certainty"


def _gaps(
    answer: Recommendation,
    needs: Needs,
    results: Sequence[Result],
    base: Result,
    left: Sequence[str],
    names: Sequence[str],
) -> None:
    """What the answer would need and no run shows."""
    if needs.relation(base.comparison.scenario) != "same":
        answer.not_measured.append(
            f"the needed load: the nearest is {workload(base.comparison.scenario)}, "
            f"{base.comparison.scenario.payload_bytes} bytes ({base.name})"
        )
    tried = {run.contender for result in results for run in result.comparison.runs if is_fault_run(run) and run.valid}
    untried = [name for name in left if name not in tried]
    if untried:
        answer.not_measured.append(f"what a fault does to {listed(untried)}")
    absent = [c.name for c in all_contenders() if c.name not in names and c.name != FLOOR]
    absent = [
        name
        for name in absent
        if not needs.promise or _delivery(name) == needs.promise or needs.promise == "at-most-once"
    ]
    if absent:
        answer.not_measured.append(f"{listed(absent)} (in none of the results)")


def _delivery(name: str) -> str:
    return next(contender.delivery for contender in all_contenders() if contender.name == name)


def _command(needs: Needs, base: Result, names: Sequence[str]) -> str:
    """What would settle it: those that are left, on the needed load, with rounds enough for a verdict."""
    scenario = base.comparison.scenario
    options = {
        "clients": needs.clients or scenario.clients,
        "replicas": needs.replicas or scenario.replicas,
        "rate": f"{needs.rate_hz or scenario.rate_hz:g}",
        "payload-bytes": needs.payload_bytes or scenario.payload_bytes,
        "topics": needs.topics,
        "rounds": max(MIN_ROUNDS, scenario.rounds),
    }
    if needs.schedule != "constant":
        options = {"scenario": SCENARIO_OF[needs.schedule]} | options
    return " ".join(["fanbench compare", *sorted(names), *(f"--{name} {value}" for name, value in options.items())])


def in_words(answer: Recommendation) -> str:
    """The answer for a terminal: what is left in order, what was ruled out and by what, and what would settle it."""
    lines = []
    for delivery, groups in answer.left.items():
        lines.append(f"Left, {delivery}:" if len(answer.left) > 1 else "Left:")
        for place, group in enumerate(groups, 1):
            for judged in group:
                mark = f"{place}." if judged is group[0] else "  "
                lines.append(f"  {mark} {judged.contender}: {'; '.join(judged.reasons)}")
    lines += ["Nothing is left."] if not answer.left else ["How sure:", *(f"  {said}" for said in answer.sure)]
    if answer.ruled_out:
        lines += ["Ruled out:", *(f"  {j.contender}: {'; '.join(j.reasons)}" for j in answer.ruled_out)]
    if answer.not_measured:
        lines += ["Not measured:", *(f"  {said}" for said in answer.not_measured)]
    return "\n".join([*lines, "What would settle it:", f"  {answer.command}"])


def as_json(answer: Recommendation) -> dict[str, object]:
    """The answer for a program."""
    return asdict(answer)
