"""Selects the comparison that an answer is based on, and warns how far it is from the needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from brokers.anti_patterns import anti_pattern
from brokers.contenders import cluster_contenders
from core.errors import UsageError
from harness.analysis.fault_evidence import base_name, same_machine
from harness.analysis.judgement_words import listed
from harness.analysis.standings import FLOOR
from harness.analysis.stored_results import Result
from harness.analysis.verdict import workload
from harness.choose.have import unknown_programs
from harness.choose.needs import Needs
from harness.choose.quoting import counted
from harness.results.run_record import Run

STANDS_FOR = 2.0
"""Warn if the needed load is at least this many times the measured one."""


def weighable(run: Run) -> bool:
    """Whether the run's contender can be chosen: a single-process broker, and no floor, endpoint or anti-pattern."""
    name = run.contender.partition("?")[0]
    clusters = {contender.name for contender in cluster_contenders()}
    return not (
        name in clusters or "#" in name or base_name(name) == FLOOR or run.endpoint or anti_pattern(run.contender)
    )


def nearest(needs: Needs, results: Sequence[Result], here: Mapping[str, str] | None) -> Result:
    """Return the best match: the needed shape first, then this machine, then the nearest load, then the newest.

    Raises:
        UsageError: no comparison has a valid run of such a contender; the message lists what there is, and the next step.
    """
    compared = [result for result in results if result.compares]
    found = [result for result in compared if any(run.valid and weighable(run) for run in result.comparison.ranked)]
    if not found:
        raise UsageError(_nothing(results, compared))

    def nearness(result: Result) -> tuple[bool, bool, float, str, int]:
        scenario = result.comparison.scenario
        distance = sum(abs(math.log(measured / needed)) for measured, needed in needs.workload(scenario).values())
        contenders = {run.contender for run in result.comparison.ranked if run.valid}
        own = here is not None and same_machine(result.comparison.host, here)
        return needs.has_shape_of(scenario), own, -distance, result.comparison.started_utc, len(contenders)

    return max(found, key=nearness)


def _nothing(results: Sequence[Result], compared: Sequence[Result]) -> str:
    start = "the results contain no comparison with a valid run"
    runs = [run for result in compared for run in result.comparison.ranked if weighable(run)]
    if not compared:
        kinds = listed(sorted({result.kind for result in results}))
        return f"{start}, only {kinds}; give a directory that fanbench compare wrote, or run `fanbench compare`"
    names = listed([result.name for result in compared])
    if not runs:
        return f"{start} of a broker: {names} compares none; run `fanbench compare`"
    reason = next((problem for run in runs for problem in run.problems), "")
    return f"{start}: each of the {len(runs)} runs of {names} was refused. First reason: {reason}"


def warnings(needs: Needs, base: Result, others: int) -> list[str]:
    """Warn if the answer rests on a smaller load or another shape, or leaves something out."""
    said = [*unknown_programs(needs.have), *_another_shape(needs, base), *_larger(needs, base), *_stamped(needs)]
    services = sorted({run.contender for run in base.comparison.runs if run.endpoint})
    if services:
        said.append(
            f"{listed(services)} {'is a service' if len(services) == 1 else 'are services'} at an endpoint and no broker: this answer "
            f"leaves {'it' if len(services) == 1 else 'them'} out, `fanbench report` compares"
        )
    if others:
        said.append(f"{others} of the results are from another machine and were left out")
    return said


def _larger(needs: Needs, base: Result) -> list[str]:
    scenario = base.comparison.scenario
    loads = (
        (scenario.clients, needs.clients, "clients"),
        (scenario.rate_hz, needs.rate_hz, "events/s"),
        (scenario.payload_bytes, needs.payload_bytes, "bytes"),
    )
    said = [
        f"{counted(measured)} measured {unit} stand for {counted(needed)}, {counted(needed / measured)} times as many"
        for measured, needed, unit in loads
        if needed is not None and measured and needed >= STANDS_FOR * measured
    ]
    return [f"{listed(said)}: results at {workload(scenario)} may not apply there"] if said else []


def _stamped(needs: Needs) -> list[str]:
    if needs.payload_bytes is None or needs.payload_bytes >= needs.least_bytes:
        return []
    return [
        f"an event of {counted(needs.payload_bytes)} bytes cannot hold the stamp that it is measured by: events of "
        f"{needs.least_bytes} bytes stand for it"
    ]


def _another_shape(needs: Needs, base: Result) -> list[str]:
    scenario = base.comparison.scenario
    if needs.has_shape_of(scenario):
        return []
    topics = "1 topic" if needs.topics == 1 else f"{counted(needs.topics)} topics"
    measured = (
        f"sessions of topics that come and go, in {base.name}"
        if scenario.topic_arrivals_hz
        else (f"topics {scenario.topics} with the schedule {scenario.schedule}, in {base.name}")
    )
    return [
        f"nothing was measured with {topics} and the schedule {needs.schedule}; the nearest is {measured}, which says little about it"
    ]
