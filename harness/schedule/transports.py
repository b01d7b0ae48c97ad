"""The extra runs that compare Server-Sent Events with WebSocket: one per transport, which cuts every connection."""

from __future__ import annotations

from collections.abc import Sequence

from brokers.contender import Contender
from core.errors import UsageError, nearest
from core.fault import Fault
from core.scenario import Scenario
from harness.results.run_record import TRANSPORTS
from harness.schedule.retry_queue import Job

_CUT_AFTER_S = 2.0
_CUT_RUN_S = 6.0


def parse_transports(text: str) -> list[str]:
    """Parse `sse,ws` into a list without repeats.

    Raises:
        UsageError: a transport is unknown.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in TRANSPORTS:
            raise UsageError(f"--transport {text!r}: no transport '{name}'; {nearest(name, TRANSPORTS)}")
    return names


def cut_jobs(contenders: Sequence[Contender], transports: Sequence[str], scenario: Scenario) -> list[Job]:
    """Make an unranked job for each contender and transport that cuts all connections at once."""
    cut = Fault(kind="clients-cut", at_s=_CUT_AFTER_S)
    storm = scenario.with_fields(faults=(cut,), duration_s=max(scenario.duration_s, _CUT_RUN_S))
    number = scenario.rounds + 1
    return [
        Job(contender, storm, number, f"cut {contender.file_name} {transport}", transport)
        for contender in contenders
        for transport in transports
    ]
