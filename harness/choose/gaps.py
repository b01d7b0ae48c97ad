"""The gaps of an answer: what no run has measured, each with the command that measures it and its duration in minutes.

The gaps most likely to change the answer come first. A command measures everything that its gap names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from brokers.contenders import all_contenders, cluster_contenders, program_of_result
from core.fault import FaultKind
from core.resources import resource_folder
from core.scenario import Scenario, load_scenario
from harness.analysis.judgement_words import listed
from harness.analysis.next_commands import (
    NODE_DEATHS,
    NextCommand,
    capacity_command,
    compare_command,
    failovers_of,
    faults_command,
    node_deaths,
)
from harness.analysis.standings import FLOOR
from harness.analysis.stored_results import Result
from harness.analysis.verdict import workload
from harness.choose.failover_queries import compared_in, fitting_forms, forms_of, node_deaths_not_measured
from harness.choose.fault_queries import asks_of_faults, faults_not_measured
from harness.choose.needs import Needs
from harness.choose.quoting import counted
from harness.choose.result_queries import objective_not_measured, replays

SCENARIO_OF = {"poisson": "rooms", "burst": "burst"}
"""Scenarios with schedules that no option of `fanbench compare` can set."""
MOST = 6
"""The number of contenders that a comparison of default length can distinguish."""
FAR = 4.0
"""Beyond this multiple of the measured load, check the machine's capacity first."""


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
    """The gaps of an answer from `base`: contenders `left` are not ruled out, `unmeasured` have no run at its load."""
    capacity = list(_capacity(needs, results, base, left or sorted(names)))
    load = list(_load(needs, results, base, left, [*unmeasured, *absent(needs, names)]))
    open_ = [*left, *unmeasured]
    faults = list(_faults(needs, results, open_))
    nodes = list(_nodes(needs, results, base, open_))
    untried = [name for name in left if faults_not_measured(name, needs, results)]
    own = any(program_of_result(name) in needs.programs for name in untried)
    decisive = asks_of_faults(needs) and (own or len(untried) == len(left))
    return [*capacity, *nodes, *(faults if decisive else []), *load, *([] if decisive else faults)]


def _faults(needs: Needs, results: Sequence[Result], names: Sequence[str]) -> Iterator[Unmeasured]:
    untried = [name for name in names if faults_not_measured(name, needs, results)]
    for some in _parts(untried, MOST):
        if command := faults_command(some):
            yield Unmeasured(f"what faults do to {listed(some)}", command)


def _parts(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _nodes(needs: Needs, results: Sequence[Result], base: Result, names: Sequence[str]) -> Iterator[Unmeasured]:
    """The node deaths that were not measured, and the clusters that did not run at the needed load."""
    if needs.nodes == 1:
        return
    missing = node_deaths_not_measured(names, needs, results)
    for kinds, forms in _together(missing):
        what = f"how long clients hear nothing in {listed(kinds)} of {listed(forms)}"
        yield Unmeasured(what, failovers_of(forms, kinds))
    forms = [form.name for name in names for form in fitting_forms(name, needs, results)]
    idle = [form for form in forms if compared_in(form, needs, results) is None]
    for some in _parts(idle, MOST):
        what = f"the latency of {listed(some)}, of which only one process ran without a fault"
        yield Unmeasured(what, _comparison(needs, base.comparison.scenario, some))


def _together(missing: Mapping[str, Sequence[FaultKind]]) -> Iterator[tuple[list[FaultKind], list[str]]]:
    """Group node deaths and clusters into commands that repeat no measurement."""
    every = [kind for kind in NODE_DEATHS if any(kind in kinds for kinds in missing.values())]
    known = {cluster.name: cluster for cluster in cluster_contenders()}
    if all([kind for kind in node_deaths(known[form]) if kind in every] == kinds for form, kinds in missing.items()):
        groups = {tuple(every): list(missing)} if missing else {}
    else:
        groups = {}
        for form, kinds in missing.items():
            groups.setdefault(tuple(kinds), []).append(form)
    return ((list(kinds), forms) for kinds, forms in groups.items())


def _capacity(needs: Needs, results: Sequence[Result], base: Result, names: Sequence[str]) -> Iterator[Unmeasured]:
    """Whether this machine can reach a load far beyond any measured one."""
    scenario = base.comparison.scenario
    runs = [
        run for result in results for run in result.comparison.runs if run.valid and needs.has_shape_of(run.scenario)
    ]
    options = load_options(needs, scenario)
    far: dict[str, tuple[float | None, float, list[float]]] = {
        "clients": (needs.clients, scenario.clients, [run.scenario.clients for run in runs]),
        "rate": (needs.rate_hz, scenario.rate_hz, [run.scenario.rate_hz for run in runs]),
    }
    for axis, (wanted, measured, seen) in far.items():
        if wanted is None or wanted < FAR * measured or wanted <= max(seen, default=0):
            continue
        objective = str(needs.objective() or "p99<100ms, lost=0")
        keys = ("scenario", "clients", "replicas", "rate", "payload-bytes", "topics")
        kept = {key: options[key] for key in keys if key in options and key != axis}
        unit = "clients" if axis == "clients" else "events/s"
        name = next((name for name in names if program_of_result(name)), None)
        if name is not None:
            command = capacity_command(name, {"vary": axis, "slo": objective} | kept)
            yield Unmeasured(f"whether this machine holds {counted(wanted)} {unit} at all", command)
        return


def _load(
    needs: Needs, results: Sequence[Result], base: Result, left: Sequence[str], missing: Sequence[str]
) -> Iterator[Unmeasured]:
    """The needed load, if another was measured, and the contenders that were not measured at it."""
    scenario = base.comparison.scenario
    at_hand = [name for name in missing if program_of_result(name) in needs.programs]
    settle = [*at_hand, *left, *(name for name in missing if name not in at_hand)][:MOST]
    undecided = [name for name in settle if name in left and objective_not_measured(name, needs, results)]
    other_load = needs.relation(scenario) != "same"
    what = []
    if other_load:
        what.append(
            f"the needed load (the nearest is {workload(scenario)}, {scenario.payload_bytes} bytes, in {base.name})"
        )
    if undecided:
        what.append(f"whether {listed(undecided)} hold{'s' if len(undecided) == 1 else ''} {needs.objective()} there")
    if not other_load and not undecided:  # the others already ran at this load: compare with one of them
        settle = [*at_hand, *(name for name in missing if name not in at_hand)][: MOST - 1]
    new = [name for name in missing if name in settle]
    if new:
        what.append(f"{listed(new)} {'there' if other_load else 'at this load'}")
    if what and (command := _comparison(needs, scenario, [*settle, *([] if other_load or undecided else left[:1])])):
        yield Unmeasured("; ".join(what), command)
    for rest in _parts([name for name in missing if name not in settle], MOST - 1):
        if command := _comparison(needs, scenario, [*rest, *left[:1]]):
            yield Unmeasured(f"{listed(rest)} {'there' if other_load else 'at this load'}", command)


def _comparison(needs: Needs, scenario: Scenario, names: Sequence[str]) -> NextCommand | None:
    options = load_options(needs, scenario)
    own = load_scenario(SCENARIO_OF.get(needs.schedule, "broadcast"), resource_folder("scenarios"))
    return compare_command(sorted(names), options, own.model_copy(update={"clients": options["clients"]}))


def absent(needs: Needs, names: Sequence[str]) -> list[str]:
    """Contenders that no result contains and no declared property rules out."""
    return [
        one.name
        for one in all_contenders()
        if one.name not in names
        and one.name != FLOOR
        and (needs.promise != "at-least-once" or one.delivery == needs.promise)
        and not (needs.replay and replays(one.name) is False)
        and not (needs.nodes > 1 and not forms_of(one.name))
    ]


def load_options(needs: Needs, scenario: Scenario) -> dict[str, object]:
    """The needed load as options of `fanbench compare`, with missing values from the measured load."""
    options: dict[str, object] = {}
    if needs.schedule != "constant":
        options["scenario"] = SCENARIO_OF[needs.schedule]
    options["clients"] = needs.clients or scenario.clients
    options["replicas"] = needs.replicas or scenario.replicas
    options["rate"] = f"{needs.rate_hz or scenario.rate_hz:g}"
    options["payload-bytes"] = max(needs.least_bytes, needs.payload_bytes or scenario.payload_bytes)
    options["topics"] = needs.topics
    return options
