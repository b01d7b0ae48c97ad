"""The runs that test whether sessions survive a failure: each kills a replica while its readers listen."""

from __future__ import annotations

import random
from collections.abc import Sequence

from brokers.contender import Contender
from core.fault import Fault
from core.scenario import Scenario
from harness.analysis.statistics import MIN_ROUNDS
from harness.runner.deployment import Deployment
from harness.runner.faults import impossible
from harness.schedule.retry_queue import Job

_DIES = Fault(kind="replica-kill", at_s=3.0, for_s=2.0)
_DURATION_S = 8.0
"""Long enough for a replica to return and deliver to its readers."""
_WARMUP_S = 8.0
"""Long enough for sessions to be under way. Their number need not be steady, because these runs are not ranked."""


def resume_jobs(contenders: Sequence[Contender], scenario: Scenario, deployment: Deployment | None = None) -> list[Job]:
    """Jobs that kill a replica under each contender, in enough rounds for an interval; they are not ranked.

    Only for scenarios with sessions; `fanbench faults` covers the others. A scenario with fewer rounds gets fewer here.
    No jobs for replicas that fanbench did not start, and none if the scenario has its own faults.
    """
    able = [one for one in contenders if impossible(_DIES, one, deployment) is None and one.endpoint is None]
    if not scenario.sessions or scenario.faults or not able:
        return []
    broken = scenario.with_fields(faults=(_DIES,), warmup_s=min(scenario.warmup_s, _WARMUP_S), duration_s=_DURATION_S)
    rng = random.Random(scenario.seed)
    return [
        Job(contender, broken, scenario.rounds + number, f"kill {number} {contender.file_name}", deployment=deployment)
        for number in range(1, min(scenario.rounds, MIN_ROUNDS) + 1)
        for contender in rng.sample(able, len(able))
    ]
