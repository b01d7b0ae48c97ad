"""One run: one contender, one scenario, once, from starting the broker to the finished account."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.checks import Facts, problems
from bench.model import HOPS, LATENCY, Run, TimelineRow
from bench.procs import (
    Children,
    Load,
    Replica,
    generator_settings,
    poll,
    read_json,
    start_generator,
    start_load,
    start_replicas,
    wait_ready,
)
from bench.resources import Sampler, Window
from brokers.contenders import Contender
from core.errors import FanbenchError
from core.histogram import Histogram
from core.process import Child
from core.scenario import Scenario

CONNECT_TIMEOUT_S = 60.0
PROBE_TIMEOUT_S = 15.0
_SLACK_S = 15.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Stage:
    """Everything that runs while events are measured."""

    replicas: Sequence[Replica]
    load: Load
    generators: Sequence[Child]
    """Who gets SIGUSR1: the generator, or the replicas that generate themselves."""
    reports: Sequence[Path]
    broker_pids: Sequence[int]

    def roots(self) -> dict[str, list[int]]:
        """The process ids of each part."""
        roots = {
            "server": [replica.child.pid for replica in self.replicas],
            "generator": [child.pid for child in self.generators],
            "load": [self.load.child.pid],
        }
        if self.generators and self.generators[0].pid in roots["server"]:
            del roots["generator"]  # it lives in the replicas, whose CPU holds its own
        if self.broker_pids:
            roots["broker"] = list(self.broker_pids)
        return roots

    def connected(self) -> int:
        """Clients by the replicas' own count."""
        return sum(int(replica.stats().get("clients", 0)) for replica in self.replicas)


def run_once(contender: Contender, scenario: Scenario, number: int, folder: Path, say: Say) -> Run:
    """Do one run; its logs go to `folder`. No child process is left, whatever happens.

    Raises:
        FanbenchError: a program did not start, did not answer or ended early; the message has its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contender.launched(folder) as broker, Children() as children:
        settings: dict[str, object] = {"broker_url": broker.url, "delivery": contender.delivery}
        say("starting replicas and clients")
        stage = _set_up(contender, scenario, settings, broker.pids, folder, children)
        say("connecting")
        alive = [stage.load.child, *(replica.child for replica in stage.replicas)]
        poll(
            f"{scenario.clients} clients connected",
            CONNECT_TIMEOUT_S + scenario.clients / scenario.connect_hz,
            lambda: (stage.connected() >= scenario.clients) or None,
            alive,
        )
        at_start = stage.connected()
        poll("first event at every client", PROBE_TIMEOUT_S, lambda: _all_reached(stage, scenario), alive)
        window, reports = _measure(stage, scenario, say)
        say("draining")
        expected = _expected(stage, reports)
        _drain(stage, expected, scenario.drain_s)
        stats = [replica.stats() for replica in stage.replicas]
        result = stage.load.finish()
    return _account(contender, scenario, number, _Found(reports, result, stats, window, expected, at_start))


def _set_up(
    contender: Contender,
    scenario: Scenario,
    settings: dict[str, object],
    broker_pids: Sequence[int],
    folder: Path,
    children: Children,
) -> _Stage:
    schedule = generator_settings(scenario)
    embedded = contender.embedded
    replica_settings = settings | schedule if embedded else settings
    replicas = start_replicas(scenario.replicas, replica_settings, folder, children)
    if embedded:
        generators, reports = [r.child for r in replicas], [r.report for r in replicas]
    else:
        child, report = start_generator(settings | schedule, folder)
        generators, reports = [children.add(child)], [report]
    wait_ready(replicas)
    load = start_load(scenario, [replica.url for replica in replicas], folder)
    children.add(load.child)
    return _Stage(replicas, load, generators, reports, broker_pids)


def _all_reached(stage: _Stage, scenario: Scenario) -> bool | None:
    status = stage.load.status()
    return int(status.get("reached", 0)) >= scenario.clients or None


def _measure(stage: _Stage, scenario: Scenario, say: Say) -> tuple[Window, list[dict[str, Any]]]:
    """Start the schedule, and follow it to its end: the window covers phase `measure`."""
    for child in stage.generators:
        child.send_signal(signal.SIGUSR1)
    say("warming up")
    time.sleep(scenario.warmup_s)
    say("measuring")
    sampler = Sampler(stage.roots())
    sampler.start()
    ended = [child for child in stage.generators if child.pid in stage.roots()["server"]]
    try:
        reports = poll(
            "the generator's report",
            scenario.duration_s + _SLACK_S,
            lambda: _all_reports(stage.reports),
            [stage.load.child, *ended],
        )
    finally:
        window = sampler.stop()
    return window, reports


def _all_reports(paths: Sequence[Path]) -> list[dict[str, Any]] | None:
    reports = [read_json(path) for path in paths]
    return None if None in reports else [report for report in reports if report is not None]


def _expected(stage: _Stage, reports: list[dict[str, Any]]) -> int:
    """Deliveries that the measured events make: published x clients of the topic, per replica where it generates."""
    total = 0
    for path, report in zip(stage.reports, reports, strict=True):
        owner = [r for r in stage.replicas if r.report == path]
        clients: dict[str, int] = {}
        for replica in owner or stage.replicas:
            for topic, count in replica.stats().get("topics", {}).items():
                clients[topic] = clients.get(topic, 0) + count
        for topic, phases in report["published"].items():
            total += phases.get("measure", 0) * clients.get(topic, 0)
    return total


def _drain(stage: _Stage, expected: int, drain_s: float) -> None:
    deadline = time.monotonic() + drain_s
    while stage.load.status().get("deliveries", 0) < expected and time.monotonic() < deadline:
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class _Found:
    reports: list[dict[str, Any]]
    load: Mapping[str, Any]
    stats: list[dict[str, Any]]
    window: Window
    expected: int
    clients_at_start: int


def _account(contender: Contender, scenario: Scenario, number: int, found: _Found) -> Run:
    """Turn what the programs reported into a run, and let it check itself."""
    load = found.load
    delivered = int(load["deliveries"])
    histograms = {name: Histogram.decode(text) for name, text in load["histograms"].items() if name in (*HOPS, LATENCY)}
    published = sum(phases.get("measure", 0) for r in found.reports for phases in r["published"].values())
    # Each replica that generates itself has the whole rate, so theirs are averaged.
    achieved_hz = sum(r["achieved_hz"] for r in found.reports) / len(found.reports)
    facts = Facts(
        scenario=scenario,
        achieved_hz=achieved_hz,
        lateness_p99_ms=max(r["lateness_ms"]["p99"] for r in found.reports),
        failed_publishes=sum(r["failed"] for r in found.reports),
        clients_at_start=found.clients_at_start,
        clients_at_end=int(load["clients"]),
        reconnects=int(load["reconnects"]),
        expected=found.expected,
        delivered=delivered,
        lost=found.expected - delivered,
        histogram_counts={name: histogram.count for name, histogram in histograms.items()},
        negative=int(load["negative"]) + sum(r["lateness_negative"] for r in found.reports),
        clock_step_ns=max((r["clock_step_ns"] for r in found.reports), key=abs),
        usage=found.window.parts,
        others_cores=found.window.others_cores,
    )
    return Run(
        contender=contender.name,
        round=number,
        delivery=contender.delivery,
        scenario=scenario,
        published=published,
        expected=found.expected,
        delivered=delivered,
        lost=facts.lost,
        duplicated=int(load["duplicated"]),
        reordered=int(load["reordered"]),
        gaps=sum(int(stats.get("gaps", 0)) for stats in found.stats),
        achieved_hz=achieved_hz,
        histograms=histograms,
        usage=found.window.parts,
        timeline=[TimelineRow(**row) for row in load["timeline"]],
        problems=problems(facts),
    )


def failed_run(contender: Contender, scenario: Scenario, number: int, error: FanbenchError) -> Run:
    """A run that did not come to its end, kept and shown as refused."""
    return Run(contender.name, number, contender.delivery, scenario, problems=(str(error),))
