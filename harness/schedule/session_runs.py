"""The runs that show what a session survives: in each, a replica is killed while its readers listen."""

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
"""Long enough for a replica to be back, and for its readers to hear from it."""
_WARMUP_S = 8.0
"""Enough for sessions to be under way. The number of them need not be steady: nothing is ranked."""


def resume_jobs(contenders: Sequence[Contender], scenario: Scenario, deployment: Deployment | None = None) -> list[Job]:
    """Each contender through the death of a replica, in as many rounds as an interval needs; none of it is ranked.

    Only for scenarios of sessions: elsewhere `fanbench faults` shows it. Fewer rounds if the scenario has fewer. Nothing is
    done to replicas that fanbench did not start, and nothing if the scenario has faults of its own.
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
