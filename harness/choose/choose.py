"""`fanbench choose`: compares stored results with needs. It cites measurements and invents no numbers.

Every figure in an answer is in the summary.csv that the answer names. A run counts if its load equals the needed one.
A heavier load that met the objective, or a lighter one that broke it, also settles the objective.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from brokers.contenders import program_of_result
from harness.analysis.costs import Cost, Prices, cost_of
from harness.analysis.fault_evidence import same_machine
from harness.analysis.next_commands import NextCommand
from harness.analysis.standings import Family, families, standings
from harness.analysis.stored_results import Result
from harness.choose.basis import nearest, warnings, weighable
from harness.choose.certainty import certainty
from harness.choose.failover_queries import against_on_nodes, said_on_nodes
from harness.choose.fault_queries import said_of_deploys, silence_measured
from harness.choose.gaps import Unmeasured, gaps_of
from harness.choose.needs import Needs
from harness.choose.preferred import Judged, preferred
from harness.choose.result_queries import against, doubts, largest, lost_here, span


@dataclass(slots=True)
class Answer:
    """The results' answer to the needs."""

    base: Result
    """The comparison whose load is nearest to the needed load."""
    results: Sequence[Result]
    """The results of the same machine, on which the answer is based."""
    ruled_out: list[Judged] = field(default_factory=list)
    left: dict[str, list[list[Judged]]] = field(default_factory=dict)
    """The remaining contenders of each promise in groups that are not different at p99, best first."""
    families: dict[str, Family] = field(default_factory=dict)
    """The judgements of the remaining contenders alone, by promise."""
    unmeasured: list[str] = field(default_factory=list)
    """The contenders that nothing rules out but that have no valid run at the load of `base`."""
    sure: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    not_measured: list[Unmeasured] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    """Costs by remaining contender, if prices were given."""
    currency: str = ""

    @property
    def host(self) -> Mapping[str, str]:
        """The machine that the answer was measured on."""
        return self.base.comparison.host

    @property
    def commands(self) -> list[NextCommand]:
        """The commands that would fill the gaps, each once."""
        return [gap.command for gap in self.not_measured if gap.command is not None]


def choose(
    needs: Needs, results: Sequence[Result], prices: Prices | None = None, here: Mapping[str, str] | None = None
) -> Answer:
    """Rule contenders out, order the rest, and say how certain that is and what was not measured.

    It uses the results of one machine only, and prefers this machine, `here`.

    Raises:
        UsageError: the results have no valid run of any contender.
    """
    base = nearest(needs, results, here)
    used = [result for result in results if same_machine(result.comparison.host, base.comparison.host)]
    answer = Answer(base, used, warnings=warnings(needs, base, len(results) - len(used)))
    runs = [run for result in used for run in result.comparison.runs]
    names = {run.contender: run.delivery for run in runs if weighable(run)}
    left: dict[str, str] = {}
    for name, delivery in names.items():
        speaks_against = (*against(name, delivery, needs, used), *against_on_nodes(name, needs, used))
        if speaks_against:
            answer.ruled_out.append(Judged(name, delivery, tuple(dict.fromkeys(speaks_against))))
        elif base.ranked_of(name):
            left[name] = delivery
    _order(answer, needs, left)
    answer.unmeasured = [name for name in names if not base.ranked_of(name) and name not in _out(answer)]
    answer.not_measured = gaps_of(needs, used, base, _in_turn(answer, needs), list(names), answer.unmeasured)
    if prices is not None:
        answer.currency = prices.currency
        by_name = {standing.contender: standing for standing in standings(base.comparison)}
        needed_hz = needs.deliveries_hz(base.comparison.scenario)
        found = {name: cost_of(by_name[name], prices, needed_hz) for name in left if name in by_name}
        answer.costs = {name: cost for name, cost in found.items() if cost is not None}
    return answer


def _in_turn(answer: Answer, needs: Needs) -> list[str]:
    """The recommended contender; then the other remaining ones by promise, best first, those that already run before the rest."""
    columns = [[judged.contender for group in groups for judged in group] for groups in answer.left.values()]
    names = [name for row in zip_longest(*columns) for name in row if name]
    first = preferred(answer.left, needs, answer.results)
    taken = first.contender if first else ""
    return sorted(names, key=lambda name: (name != taken, program_of_result(name) not in needs.programs))


def _out(answer: Answer) -> set[str]:
    return {judged.contender for judged in answer.ruled_out}


def _order(answer: Answer, needs: Needs, left: Mapping[str, str]) -> None:
    """Group the remaining contenders by p99 at the nearest load, for each promise; those that already run go first in their group."""
    base = answer.base
    runs = [run for run in base.comparison.runs if run.contender in left]
    for family in families(replace(base.comparison, runs=runs)) if runs else []:
        names = [standing.contender for standing in family.standings]
        groups = [list(group) for group in family.groups] or [names]
        ranked = {name for group in groups for name in group}
        groups += [[name for name in names if name not in ranked]] if len(ranked) < len(names) else []
        found: list[list[Judged]] = []
        for group in groups:
            at_hand = [name for name in group if program_of_result(name) in needs.programs]
            ordered = at_hand + [name for name in group if name not in at_hand]
            found.append([_judged(answer, needs, family, name, name in at_hand) for name in ordered])
        answer.left[family.delivery] = found
        answer.families[family.delivery] = family
        answer.sure.append(certainty(family, names))


def _judged(answer: Answer, needs: Needs, family: Family, name: str, at_hand: bool) -> Judged:
    said = [span(answer.base, name), *lost_here(answer.base, name)]
    said += [f"you already run {program_of_result(name)}"] if at_hand else []
    ranked = name in family.judgement.contenders
    said += [] if ranked or not family.judgement.contenders else ["too few valid rounds to be ranked"]
    said += doubts(name, needs, answer.results)
    said += largest(name, needs, answer.base, answer.results)
    said += said_on_nodes(name, needs, answer.results)
    said += filter(None, [silence_measured(name, needs, answer.results)])
    said += said_of_deploys(name, needs, answer.results)
    return Judged(name, family.delivery, tuple(said))
