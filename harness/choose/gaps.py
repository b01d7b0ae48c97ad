"""The gaps of an answer: what no run has measured, each with the command that measures it and its duration in minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.contenders import all_contenders
from core.scenario import Scenario
from harness.analysis.judgement_words import listed
from harness.analysis.next_commands import (
    NextCommand,
    capacity_command,
    compare_command,
    failovers_of,
    faults_command,
)
from harness.analysis.standings import FLOOR
from harness.analysis.stored_results import Result
from harness.analysis.verdict import workload
from harness.choose.failover_queries import forms_not_measured
from harness.choose.fault_queries import faults_not_measured
from harness.choose.needs import Needs
from harness.choose.result_queries import objective_not_measured

SCENARIO_OF = {"poisson": "rooms", "burst": "burst"}
"""The scenario with a schedule that no option of `fanbench compare` can set."""
WITHIN_S = 360.0
"""The defaults of `fanbench compare`."""
MOST = 6
"""Contenders that a comparison of that length can distinguish."""
FAR = 4.0
"""Beyond this multiple of the measured load, first check the machine's capacity."""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Something that no run shows."""

    what: str
    command: NextCommand | None
    """The command that would measure it; None if fanbench cannot."""


def gaps_of(
    needs: Needs,
    results: Sequence[Result],
    base: Result,
    left: Sequence[str],
    names: Sequence[str],
    unmeasured: Sequence[str],
) -> list[Unmeasured]:
    """The gaps of an answer from `base`; `left` is not ruled out, `unmeasured` was not measured on its load."""
    found = _needed_load(needs, results, base, left, names, unmeasured)
    open_ = [*left, *unmeasured]
    untried = [name for name in open_ if faults_not_measured(name, needs, results)][:MOST]
    command = faults_command(untried)
    if command:
        found.append(Unmeasured(f"what faults do to {listed(untried)}", command))
    forms = forms_not_measured(open_, needs, results)
    nodes = failovers_of(forms)
    if nodes:
        found.append(Unmeasured(f"how long clients hear nothing when a node of {listed(forms)} dies", nodes))
    return found


def _needed_load(
    needs: Needs,
    results: Sequence[Result],
    base: Result,
    left: Sequence[str],
    names: Sequence[str],
    unmeasured: Sequence[str],
) -> list[Unmeasured]:
    scenario = base.comparison.scenario
    missing = [*unmeasured, *_absent(needs, names)]
    programs = {one.name: one.program for one in all_contenders()}
    at_hand = [name for name in missing if programs.get(name) in needs.have]
    settle = [*at_hand, *left, *(name for name in missing if name not in at_hand)][:MOST] or sorted(names)[:MOST]
    undecided = [name for name in settle if name in left and objective_not_measured(name, needs, results)]
    what: list[str] = []
    if needs.relation(scenario) != "same":
        what.append(
            f"the needed load (the nearest is {workload(scenario)}, {scenario.payload_bytes} bytes, in {base.name})"
        )
    if undecided:
        what.append(f"whether {listed(undecided)} hold{'s' if len(undecided) == 1 else ''} {needs.objective()} there")
    if missing:
        what.append(f"{listed(missing)} on it")
    if not what:
        return []
    options = load_options(needs, scenario)
    found = [Unmeasured("; ".join(what), compare_command(sorted(settle), options, WITHIN_S))]
    clients = needs.clients or scenario.clients
    seen = max((run.scenario.clients for result in results for run in result.comparison.runs if run.valid), default=0)
    if settle and clients >= FAR * scenario.clients and clients > seen:
        held: dict[str, object] = {"vary": "clients", "slo": str(needs.objective() or "p99<100ms, lost=0")}
        held |= {
            name: value for name, value in options.items() if name in ("scenario", "replicas", "rate", "payload-bytes")
        }
        found.insert(
            0, Unmeasured(f"whether this machine holds {clients:,} clients at all", capacity_command(settle[0], held))
        )
    return found


def _absent(needs: Needs, names: Sequence[str]) -> list[str]:
    """Contenders with this promise that are in none of the results."""
    return [
        one.name
        for one in all_contenders()
        if one.name not in names
        and one.name != FLOOR
        and (needs.promise is None or one.delivery == needs.promise or needs.promise == "at-most-once")
    ]


def load_options(needs: Needs, scenario: Scenario) -> dict[str, object]:
    """The needed load as options of `fanbench compare`, completed from the measured load."""
    options: dict[str, object] = {}
    if needs.schedule != "constant":
        options["scenario"] = SCENARIO_OF[needs.schedule]
    options["clients"] = needs.clients or scenario.clients
    options["replicas"] = needs.replicas or scenario.replicas
    options["rate"] = f"{needs.rate_hz or scenario.rate_hz:g}"
    options["payload-bytes"] = needs.payload_bytes or scenario.payload_bytes
    options["topics"] = needs.topics
    return options
