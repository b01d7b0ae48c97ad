"""One run: one contender, one scenario, once, from starting the broker to the finished account."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.account import Findings, account
from bench.faults import Timeline, require_possible
from bench.losses import Evidence, expected_deliveries
from bench.model import Run
from bench.procs import Children, poll, read_json
from bench.resources import Sampler, Window, rss_mb
from bench.stage import Stage, set_up
from brokers.contenders import Contender
from core.clock import ClockWatch
from core.errors import FanbenchError
from core.scenario import Scenario

CONNECT_TIMEOUT_S = 60.0
PROBE_TIMEOUT_S = 15.0
_SLACK_S = 20.0

Say = Callable[[str], None]


def run_once(
    contender: Contender, scenario: Scenario, number: int, folder: Path, say: Say, transport: str = "sse"
) -> Run:
    """Do one run; its logs go to `folder`. No child process is left, whatever happens.

    Raises:
        FanbenchError: a program did not start, did not answer or ended early; the message has its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contender.launched(folder) as broker, ExitStack() as stack:
        children = stack.enter_context(Children())
        say("starting replicas and clients")
        stage = set_up(contender, scenario, broker, folder, children, stack, transport)
        require_possible(scenario.faults, stage)
        say("connecting")
        at_start = _connect(stage)
        grown_mb = rss_mb(stage.roots()["server"]) - stage.server_mb
        clients = stage.clients_of_topics()
        clock = ClockWatch()
        window, reports = _measure(stage, say, clock)
        say("draining")
        known = Evidence(reports, [], clients, {}, each_its_own=contender.embedded)
        _drain(stage, expected_deliveries(known), clock)
        back = _all_back(stage)
        stats = stage.stats()
        load = stage.load.finish()
    evidence = replace(known, stats=stats, client_causes=load["causes"])
    findings = Findings(evidence, load, window, at_start, back, grown_mb, clock.farthest_ns)
    return account(contender, scenario, number, findings)


def _connect(stage: Stage) -> int:
    """Wait until the replicas count every client and a probe reached each; how many are connected then."""
    scenario = stage.scenario
    poll(
        f"{scenario.clients} clients connected",
        CONNECT_TIMEOUT_S + scenario.clients / scenario.connect_hz,
        lambda: (stage.connected() >= scenario.clients) or None,
        stage.alive(),
    )
    connected = stage.connected()
    poll("first event at every client", PROBE_TIMEOUT_S, lambda: _all_reached(stage), stage.alive())
    return connected


def _all_reached(stage: Stage) -> bool | None:
    return int(stage.load.status().get("reached", 0)) >= stage.scenario.clients or None


def _measure(stage: Stage, say: Say, clock: ClockWatch) -> tuple[Window, list[dict[str, Any]]]:
    """Start the schedule, and follow it to its end: the window covers phase `measure`."""
    scenario = stage.scenario
    for child in stage.generators:
        child.send_signal(signal.SIGUSR1)
    say("warming up")
    time.sleep(scenario.warmup_s)
    say("measuring")
    timeline = Timeline(scenario.faults, stage)
    sampler = Sampler(stage.roots)
    sampler.start()
    try:
        reports = poll(
            "the generator's report",
            scenario.duration_s + _SLACK_S * (1 + len(scenario.faults)),
            partial(_follow, stage, timeline, clock, time.monotonic()),
            stage.alive(),
        )
        timeline.mend()
    finally:
        window = sampler.stop()
    return window, reports


def _follow(stage: Stage, timeline: Timeline, clock: ClockWatch, began_s: float) -> list[dict[str, Any]] | None:
    clock.look()
    timeline.step(time.monotonic() - began_s)
    reports = [report for path in stage.reports if (report := read_json(path)) is not None]
    return reports if len(reports) == len(stage.reports) else None


def _drain(stage: Stage, expected: int, clock: ClockWatch) -> None:
    """Until everything expected was delivered, `drain_s` at most: what comes later is lost."""
    deadline = time.monotonic() + stage.scenario.drain_s
    while stage.load.status().get("deliveries", 0) < expected and time.monotonic() < deadline:
        clock.look()
        time.sleep(0.05)
    clock.look()


def _all_back(stage: Stage) -> bool:
    """Whether every client is connected, on replicas that are ready."""
    ready = all(stats.get("ready") for stats in stage.stats())
    return ready and int(stage.load.status().get("clients", 0)) >= stage.scenario.clients


def failed_run(contender: Contender, scenario: Scenario, number: int, error: FanbenchError) -> Run:
    """A run that did not come to its end, kept and shown as refused; a machine too busy is a reason that passes."""
    return Run(contender.name, number, contender.delivery, scenario, problems=(str(error),), disturbed=True)
