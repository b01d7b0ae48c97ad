"""Assembles a run from the programs' reports, and checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from brokers.contender import Contender
from core.contracts.load_result import LoadResult, VisitResult, carried
from core.cores import usable_cores
from core.histogram import Histogram
from core.scenario import Scenario
from core.token_sessions import visits
from harness.results.run_record import OTHERS, PARTS, Run
from harness.runner.checks import Facts, disturbed, problems
from harness.runner.loss_causes import Evidence, expected_deliveries, split_by_cause
from harness.runner.processes import LINGER_S
from harness.runner.resources import Window

GROWTH_NEEDS_S = 60.0
"""A shorter window cannot show growth per minute: a program that warms up would show 100 MB."""
LEAST_FINISHED = 1_000
"""Sessions that must end for a figure per ended session."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The data of a finished run: its deliveries, Locust's result, and what was observed from outside."""

    evidence: Evidence
    load: LoadResult
    window: Window
    clients_at_start: int
    all_back: bool
    """Whether every client was connected again at the end, to replicas that are ready."""
    grown_mb: float | None
    """How much the replicas' memory grew until every client was connected; None if nobody watched."""
    clock_step_ns: int
    """The largest movement of the wall clock relative to the monotonic one, from phase `measure` to the drain's end."""
    of_testbed: Mapping[str, float] = field(default_factory=dict)
    """Observations of the broker, and a fault's own figures."""
    unmet: str = ""
    """What the broker program did not do although a setting asked for it; empty if it did everything."""
    ended_workers: tuple[str, ...] = ()
    """The load workers that were there when measuring began, and not at the end."""
    joined_workers: tuple[str, ...] = ()
    """The other way round."""


def assemble_run(contender: Contender, scenario: Scenario, number: int, findings: Findings) -> Run:
    """Return the checked run."""
    load, evidence = findings.load, findings.evidence
    histograms = _histograms(load)
    facts = _facts(scenario, findings, histograms)
    lost = facts.expected - facts.delivered
    return Run(
        contender=contender.name,
        round=number,
        delivery=contender.delivery,
        scenario=scenario,
        published=sum(sum(report.measured().values()) for report in evidence.reports),
        expected=facts.expected,
        delivered=facts.delivered,
        lost=lost,
        duplicated=carried(load.duplicated, "duplicated"),
        reordered=carried(load.reordered, "reordered"),
        gaps=load.gaps,
        achieved_hz=facts.achieved_hz,
        lost_by_cause=split_by_cause(lost, evidence),
        histograms=histograms,
        usage=findings.window.parts,
        not_watched=_not_watched(contender, findings.window),
        timeline=list(load.timeline),
        figures=_figures(scenario, findings),
        problems=problems(facts),
        disturbed=disturbed(facts),
        endpoint=contender.endpoint is not None,
    )


def _not_watched(contender: Contender, window: Window) -> tuple[str, ...]:
    """The parts whose CPU and memory nobody watched. `memory` has no broker, and its generator runs in the replicas.

    An endpoint counts as the server.
    """
    parts = [part for part in PARTS if part != "broker" or contender.endpoint is None]
    missing = () if contender.embedded else tuple(part for part in parts if part not in window.parts)
    return (*missing, OTHERS) if window.others_cores is None else missing


def _histograms(load: LoadResult) -> dict[str, Histogram]:
    """Histograms by hop; the encoding has no negative values, so their count is separate."""
    histograms: dict[str, Histogram] = {
        name: Histogram.decode(text) for name, text in carried(load.histograms, "histograms").by_span().items()
    }
    for name, count in carried(load.negatives, "negatives").items():
        histograms[name].negative = count
    return histograms


def _facts(scenario: Scenario, findings: Findings, histograms: Mapping[str, Histogram]) -> Facts:
    reports, load = findings.evidence.reports, findings.load
    return Facts(
        scenario=scenario,
        # Each embedded generator publishes at the whole rate, so their rates are averaged.
        offered_hz=sum(report.offered_hz for report in reports) / len(reports),
        achieved_hz=sum(report.achieved_hz for report in reports) / len(reports),
        latency_ms=carried(load.latency_ms, "latency_ms"),
        since_sent_ms=carried(load.since_sent_ms, "since_sent_ms"),
        failed_publishes=sum(report.failed for report in reports),
        clients_at_start=findings.clients_at_start,
        clients_at_end=load.connected,
        reconnects=load.reconnects,
        expected=expected_deliveries(findings.evidence),
        delivered=load.deliveries,
        received=carried(load.received, "received"),
        found_missing=carried(load.lost, "lost"),
        load_problems=_load_problems(scenario, load),
        histogram_counts={name: histogram.count + histogram.negative for name, histogram in histograms.items()},
        negative=_negative(load, histograms) + sum(r.lateness_negative for r in reports),
        clock_step_ns=max((findings.clock_step_ns, *(report.clock_step_ns for report in reports)), key=abs),
        usage=findings.window.parts,
        others_cores=findings.window.others_cores,
        cores=usable_cores(),
        stood_still_s=findings.window.stood_still_s,
        endpoint=findings.evidence.endpoint,
        ended_workers=findings.ended_workers,
        joined_workers=findings.joined_workers,
        moved_clients=load.left,
        silent_replicas=sum(stats is None for stats in findings.evidence.stats),
        unmet=findings.unmet,
        visits=load.visits,
        visits_planned=sum(1 for _ in visits(scenario.sessions)) if scenario.sessions else 0,
    )


def _negative(load: LoadResult, histograms: Mapping[str, Histogram]) -> int:
    """The number of durations below zero.

    For a hop with a clock bound, the load has judged them and reports problems.
    """
    bounds = load.clocks.bounds_ms if load.clocks is not None else {}
    return sum(histogram.negative for span, histogram in histograms.items() if span not in bounds)


def _load_problems(scenario: Scenario, load: LoadResult) -> tuple[str, ...]:
    """The load's problems that refuse a run. Faults disconnect clients on purpose.

    The clocks' bounds judge differences.
    """
    judged_elsewhere = {load.wide_bounds, load.missing_clients if scenario.faults else None}
    return tuple(one for one in load.problems if one not in judged_elsewhere)


def _figures(scenario: Scenario, findings: Findings) -> dict[str, float]:
    """Further columns; those of recovery exist only after a fault."""
    load, reports = findings.load, findings.evidence.reports
    connect = load.connect_ms
    figures = {"connect_p50_ms": connect.p50, "connect_p99_ms": connect.p99} if connect is not None else {}
    if load.turn_ms is not None:
        figures["turn_p99_ms"] = load.turn_ms.p99
    if findings.window.seconds >= GROWTH_NEEDS_S:
        figures |= {f"{part}_growth_mb_min": slope for part, slope in findings.window.rss_mb_per_min.items()}
    if load.visits is not None:
        figures |= _visit_figures(scenario, findings, load.visits)
    else:
        if findings.grown_mb is not None:
            figures["connection_kb"] = round(findings.grown_mb * 1000 / scenario.clients, 2)
    if load.clocks is not None:  # if several hosts' clocks were compared
        figures |= {f"{span}_bound_ms": bound_ms for span, bound_ms in load.clocks.bounds_ms.items()}
    if load.event_bytes:
        figures["event_bytes"] = load.event_bytes
    if findings.window.others_cores is not None:
        figures["others_cores"] = round(findings.window.others_cores, 3)
    figures["offered_hz"] = round(sum(report.offered_hz for report in reports) / len(reports), 3)
    figures |= findings.of_testbed
    return figures | _fault_figures(findings) if scenario.faults else figures


def _visit_figures(scenario: Scenario, findings: Findings, seen: VisitResult) -> dict[str, float]:
    seconds = scenario.warmup_s + scenario.duration_s
    figures = {
        "complete_visits": round(seen.complete / seen.due, 5) if seen.due else 0.0,
        "first_event_p50_ms": seen.first_event_ms.p50,
        "first_event_p99_ms": seen.first_event_ms.p99,
        "gap_sent_p50_ms": seen.gap_sent_ms.p50,
        "gap_sent_p99_ms": seen.gap_sent_ms.p99,
        "gap_seen_p50_ms": seen.gap_seen_ms.p50,
        "gap_seen_p99_ms": seen.gap_seen_ms.p99,
        "visits": float(seen.due),
        "moved_visits": float(seen.moved),
        "subscribes_hz": round((seen.opened + seen.moved) / seconds, 3),
    }
    replicas = [stats for stats in findings.evidence.stats if stats is not None]
    if len(replicas) == len(findings.evidence.stats):
        figures["topic_subscribes_hz"] = round(sum(stats.opened_topics for stats in replicas) / seconds, 3)
        figures["topic_unsubscribes_hz"] = round(sum(stats.closed_topics for stats in replicas) / seconds, 3)
    # The replicas' memory growth since before the first session, per held topic, including lingering ones.
    topics = sum(len(stats.topics) for stats in replicas)
    if topics and findings.grown_mb is not None:
        figures["topic_kb"] = round(findings.grown_mb * 1000 / topics, 2)
    growth = findings.window.rss_mb_per_min.get("server")
    if growth is not None and tells_finished_topics(scenario, findings.window.seconds):
        figures["finished_topic_kb"] = round(growth / 60 * 1000 / scenario.topic_arrivals_hz, 2)
    return figures


def tells_finished_topics(scenario: Scenario, seconds: float) -> bool:
    """Whether the growth of the replicas' memory is that of topics that have ended.

    The number of topics that they hold must be steady by then: growth by another live topic is hundreds of KB. And enough
    must end, because the allocator's noise is megabytes.
    """
    held_s = scenario.topic_lifetime_s[1] + LINGER_S
    enough = scenario.topic_arrivals_hz * seconds >= LEAST_FINISHED
    return seconds >= GROWTH_NEEDS_S and scenario.warmup_s >= held_s and enough


def _fault_figures(findings: Findings) -> dict[str, float]:
    load, reports = findings.load, findings.evidence.reports
    recovery, bystanders = load.recovery, load.bystanders
    figures: dict[str, float] = {}
    if recovery is not None:
        first_ms = recovery.first_event_ms
        figures |= {"recovery_p50_ms": first_ms.p50, "recovery_max_ms": first_ms.max}
        figures |= {"silence_ms": recovery.longest_silence_ms.max, "silence_p50_ms": recovery.longest_silence_ms.p50}
    if bystanders is not None and bystanders.before_ms.p99:
        figures |= {"before_p99_ms": bystanders.before_ms.p99, "bystanders_p99_ms": bystanders.latency_ms.p99}
    figures |= {"replayed": carried(load.replayed, "replayed"), "reconnects": load.reconnects}
    figures["retried"] = sum(report.retried for report in reports)
    figures["failed_publishes"] = sum(report.failed for report in reports)
    figures["publish_outage_ms"] = max(report.longest_outage_ms for report in reports)
    # Failed publishes may still have reached a client, so this is a lower bound.
    expected, published = expected_deliveries(findings.evidence), sum(sum(r.measured().values()) for r in reports)
    lost = expected - load.deliveries
    each = expected / published if published else 0.0
    figures["lost_though_published"] = max(0.0, lost - figures["failed_publishes"] * each)
    figures["recovered"] = findings.all_back and not (recovery and recovery.never)
    return {name: float(figure) for name, figure in figures.items()}
