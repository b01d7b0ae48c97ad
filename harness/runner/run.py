"""One run: measures one contender with one scenario once, from the broker's start to the assembled run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from brokers.contender import Broker, Contender
from brokers.limits import limit
from core.clock import ClockWatch
from core.contracts.codec import read, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.load_orders import LoadOrder
from core.contracts.load_result import carried
from core.errors import FanbenchError, TransientError
from core.scenario import Scenario
from core.token_sessions import expected_deliveries as expected_of_visits
from core.topics import expand_topics
from harness.results.run_record import Run
from harness.runner.assemble_run import Findings, assemble_run
from harness.runner.connecting import told_what_generator_said, wait_connected
from harness.runner.deployment import Deployment
from harness.runner.faults import Timeline, require_possible
from harness.runner.loss_causes import Evidence, expected_deliveries
from harness.runner.polling import poll, poll_growth
from harness.runner.processes import Children, preload
from harness.runner.resources import Window, stopped_now
from harness.runner.set_up_elsewhere import broker_as_given, set_up_elsewhere
from harness.runner.set_up_endpoint import hint_of_endpoint, set_up_endpoint
from harness.runner.testbed import Testbed, set_up
from harness.runner.watch_elsewhere import with_clocks_told

BACK_TIMEOUT_S = 5.0
QUIET_S = 3.0
"""The longest drain after a fault with at-most-once: nobody resends an event that is still missing after it."""
PROBED_HZ = 1_000.0
"""The minimum rate at which topics get their probes on a busy machine, in topics per second."""
ENDS_HZ = 2_000.0
"""The minimum number of clients that Locust ends per second: 100,000 clients took more than 15 s."""
LOST_WORKER_S = 30.0
"""How long Locust's master may wait, in addition, for workers whose hosts are lost, before it names them."""
AHEAD_S = 0.5
"""Delay before sessions start, so that generator and load both know the start time by then."""
_STEP_S = 0.02

Say = Callable[[str], None]
Launched = Callable[[Contender, Path], AbstractContextManager[Broker]]


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits of the steps of a run, in seconds; a step that takes longer fails the run."""

    connect_s: float = 60.0
    """Time allowance per client, beyond the scenario's `connect_hz`."""
    probe_s: float = 15.0
    report_s: float = 20.0
    """Time allowance for the generator's report, beyond the measured phase and the faults."""
    end_s: float = 15.0
    """Time allowance for Locust to end and write its result."""


USUAL_PATIENCE = Patience()


def run_once(
    contender: Contender,
    scenario: Scenario,
    number: int,
    folder: Path,
    say: Say,
    transport: str = "sse",
    patience: Patience = USUAL_PATIENCE,
    launched: Launched = Contender.launched,
    deployment: Deployment | None = None,
) -> Run:
    """Do one run and write its logs to `folder`. It never leaves a child process behind.

    `launched` provides the broker and takes it back; by default it launches one for this run. With a `deployment`,
    somebody else runs the replicas and load workers.

    Raises:
        FanbenchError: a program did not start, did not answer or ended early; the message contains its last output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contender = contender.apart() if any(fault.of_links for fault in scenario.faults) else contender
    preload()
    if deployment is not None and not deployment.deploy:
        launched = broker_as_given
    with launched(contender, folder) as broker, ExitStack() as stack:
        children = stack.enter_context(Children())
        if contender.endpoint is not None:
            say("starting clients")
            testbed = set_up_endpoint(contender, contender.endpoint, scenario, broker, folder, children, transport)
        elif deployment is None:
            say("starting replicas and clients")
            testbed = set_up(contender, scenario, broker, folder, children, stack, transport)
        else:
            testbed = set_up_elsewhere(contender, scenario, broker, folder, children, deployment, transport, say)
        require_possible(scenario.faults, testbed)
        say("connecting")
        with hint_of_endpoint(testbed):
            at_start = _connect(testbed, patience)
        grown_mb = testbed.grown_mb()
        rules = scenario.sessions
        clients = [] if rules else testbed.clients_of_topics()
        clock = ClockWatch()
        window, reports, workers = _measure(testbed, say, clock, patience)
        say("draining")
        of_visits = expected_of_visits(rules) if rules else None
        known = Evidence(reports, [], clients, {}, contender.embedded, of_visits, testbed.at_endpoint)
        _drain(testbed, expected_deliveries(known), clock)
        unmet = broker.shortfall()
        still = {part: window.stood_still_s.get(part, 0.0) for part in stopped_now(testbed.roots())}
        window = replace(window, stood_still_s=window.stood_still_s | still)
        back = _all_back(testbed)
        if rules:  # no client was connected at the start
            grown_mb = testbed.grown_mb()
        stats, workers_now = testbed.stats(), testbed.worker_names()
        lost_s = LOST_WORKER_S if testbed.elsewhere else 0.0
        load = testbed.load.finish(patience.end_s + scenario.clients / ENDS_HZ + lost_s)
    load = with_clocks_told(load) if testbed.elsewhere else load
    evidence = replace(known, stats=stats, client_causes=carried(load.causes, "causes"))
    ended, joined = tuple(sorted(workers - workers_now)), tuple(sorted(workers_now - workers))
    findings = Findings(
        evidence, load, window, at_start, back, grown_mb, clock.farthest_ns, testbed.figures, unmet, ended, joined
    )
    run = assemble_run(contender, scenario, number, findings)
    return replace(run, notes=_limits(run)) if run.lost else run


def _limits(run: Run) -> tuple[str, ...]:
    """The known reasons why the product itself could not keep its promise."""
    reasons = (limit(run.contender, fault.kind) for fault in run.scenario.faults)
    return tuple(dict.fromkeys(reason for reason in reasons if reason is not None))


def _connect(testbed: Testbed, patience: Patience) -> int:
    """Wait until the replicas count every client and every client has a probe; return the number of connected clients."""
    scenario = testbed.scenario
    longest_s = patience.connect_s + 1 / scenario.connect_hz
    if scenario.sessions:  # users visit only once a session begins
        return poll_growth("users", longest_s, testbed.visitors, scenario.clients, testbed.alive())
    connected = wait_connected(testbed, longest_s)
    probe_s = patience.probe_s + len(expand_topics(scenario.topics)) / PROBED_HZ
    with told_what_generator_said(testbed.generators):
        poll("first event at every client", probe_s, lambda: _all_reached(testbed), testbed.alive())
    testbed.count_broker_connections()
    return connected


def _all_reached(testbed: Testbed) -> bool | None:
    return testbed.load.status().reached >= testbed.scenario.clients or None


def _measure(
    testbed: Testbed, say: Say, clock: ClockWatch, patience: Patience
) -> tuple[Window, list[GeneratorReport], set[str]]:
    """Start the schedule and follow it to its end; the window covers phase `measure`, and begins with these load workers."""
    scenario = testbed.scenario
    starts_ns = time.time_ns() + (int(AHEAD_S * 1e9) if scenario.sessions else 0)
    if scenario.sessions and testbed.rules_file is not None:
        write(scenario.sessions.started(starts_ns), testbed.rules_file)
    for child in testbed.generators:
        child.send_signal(signal.SIGUSR1)
    if scenario.sessions:
        testbed.load.tell(LoadOrder(do="begin", at_ns=starts_ns))
    say("warming up")
    time.sleep(max(0.0, (starts_ns - time.time_ns()) / 1e9) + scenario.warmup_s)
    say("measuring")
    if scenario.sessions:
        testbed.count_broker_connections()
    sampler, workers = testbed.sampler(), testbed.worker_names()
    sampler.start()
    try:
        if scenario.faults:
            _break(testbed, clock, say)
        reports = poll(
            "the generator's report",
            scenario.duration_s + patience.report_s,
            partial(_reports, testbed, clock),
            [*testbed.generators, *testbed.alive()],
        )
    finally:
        window = sampler.stop()
    if scenario.faults:
        ended_ns = max(report.measure_ended_ns for report in reports)
        testbed.load.tell(LoadOrder(do="published", at_ns=ended_ns))
    return window, reports, workers


def _break(testbed: Testbed, clock: ClockWatch, say: Say) -> None:
    """Run the faults. When all are undone and the tail is over, tell the generator to end."""
    timeline = Timeline(testbed.scenario.faults, testbed)
    try:
        _follow_faults(timeline, testbed, clock)
    except BaseException as error:
        timeline.abandon(error, say)
        raise
    if testbed.scenario.sessions:
        return  # the schedule of sessions ends automatically, and the load knows when
    for child in testbed.generators:
        child.send_signal(signal.SIGUSR1)


def _follow_faults(timeline: Timeline, testbed: Testbed, clock: ClockWatch) -> None:
    deadline_s = time.monotonic() + timeline.longest_s
    while not timeline.step():
        clock.look()
        for child in (*(() if testbed.scenario.sessions else testbed.generators), *testbed.alive()):
            child.require_alive()
        if time.monotonic() > deadline_s:
            raise TransientError(f"the faults were not over in time; see the logs in {testbed.load.out.parent}")
        time.sleep(_STEP_S)


def _reports(testbed: Testbed, clock: ClockWatch) -> list[GeneratorReport] | None:
    clock.look()
    reports = [report for path in testbed.reports if (report := read(GeneratorReport, path)) is not None]
    return reports if len(reports) == len(testbed.reports) else None


def _drain(testbed: Testbed, expected: int, clock: ClockWatch) -> None:
    """Wait for all expected deliveries, at most `drain_s` seconds; later ones count as lost."""
    now_s = time.monotonic()
    deadline_s, quiet_since_s, had = now_s + testbed.scenario.drain_s, now_s, 0
    may_end_early = testbed.scenario.faults and testbed.contender.delivery == "at-most-once"
    while (has := testbed.load.status().deliveries) < expected and now_s < deadline_s:
        clock.look()
        quiet_since_s, had = (now_s, has) if has > had else (quiet_since_s, had)
        if may_end_early and now_s > quiet_since_s + QUIET_S:
            return
        time.sleep(0.05)
        now_s = time.monotonic()
    clock.look()


def _all_back(testbed: Testbed) -> bool:
    """Whether all replicas are ready and all clients connected; waits for at most BACK_TIMEOUT_S."""
    deadline = time.monotonic() + BACK_TIMEOUT_S
    while True:
        for child in testbed.alive():
            child.require_alive()
        ready = all(stats is not None and stats.ready for stats in testbed.stats())
        if ready and (testbed.scenario.sessions or testbed.load.status().clients >= testbed.scenario.clients):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_S)


def failed_run(contender: Contender, scenario: Scenario, number: int, error: FanbenchError) -> Run:
    """Make a refused run from an error that ended it early."""
    return Run(
        contender.name,
        number,
        contender.delivery,
        scenario,
        problems=(str(error),),
        disturbed=error.transient,
        permanent=not error.transient,
        endpoint=contender.endpoint is not None,
    )
