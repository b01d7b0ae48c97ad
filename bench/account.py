"""Turns what the programs reported into a run: expected = delivered + lost, each loss with its cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.checks import Facts, disturbed, problems
from bench.model import HOPS, LATENCY, Run, TimelineRow
from bench.resources import Window
from brokers.contenders import Contender
from core.histogram import Histogram
from core.scenario import Scenario

Report = Mapping[str, Any]
ByTopic = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run left: the generators' reports, Locust's result, the replicas' last words, and what was counted."""

    reports: Sequence[Report]
    load: Mapping[str, Any]
    stats: Sequence[Mapping[str, Any]]
    clients: Sequence[ByTopic]
    """For each replica its clients by topic, before the measured phase."""
    window: Window
    expected: int
    clients_at_start: int
    all_back: bool
    """Whether at the end every client was connected again, on replicas that are ready."""
    grown_mb: float
    """By how much the replicas' memory had grown when every client was connected."""


def measured(report: Report) -> dict[str, int]:
    """Events of phase `measure` by topic."""
    return {topic: int(phases.get("measure", 0)) for topic, phases in report["published"].items()}


def expected_deliveries(reports: Sequence[Report], clients: Sequence[ByTopic], each_its_own: bool) -> int:
    """Published x clients of the topic, over all streams; `each_its_own`: replica i hears report i only."""
    total = 0
    for place, report in enumerate(reports):
        heard_by = [clients[place]] if each_its_own else clients
        for topic, count in measured(report).items():
            total += count * sum(by_topic.get(topic, 0) for by_topic in heard_by)
    return total


def not_handed_over(findings: Findings, each_its_own: bool) -> int:
    """Deliveries missing because a replica did not get the event: (published - received) x its clients of the topic.

    A replica that a fault restarted counts from zero again, so what it got before is not known: it is left out.
    """
    total = 0
    for place, (stats, by_topic) in enumerate(zip(findings.stats, findings.clients, strict=True)):
        received = stats.get("received", {})
        reports = [findings.reports[place]] if each_its_own else findings.reports
        for report in reports:
            got = received.get(report["stream"], {})
            if not any(phases.get("warmup") for phases in got.values()):
                continue  # its probe is not in the count: the replica began after it
            for topic, published in measured(report).items():
                missing = published - int(got.get(topic, {}).get("measure", 0))
                total += max(0, missing) * by_topic.get(topic, 0)
    return total


def split_by_cause(lost: int, findings: Findings, each_its_own: bool) -> dict[str, int]:
    """Charge `lost` to causes, the surest evidence first; the parts sum to it.

    `gap`: the adapter told how many it dropped. `broker`: the replica never got it, publishes that failed among
    them. `slow_client`: the replica threw it away with a client that was too slow. `connection_down`: the client was
    not connected. `under_way`: none of these; it had not come when the drain ended.
    """
    causes = findings.load.get("causes", {})
    unheard = not_handed_over(findings, each_its_own)
    told = sum(
        int(stats.get("gap_events", 0)) * sum(by_topic.values())
        for stats, by_topic in zip(findings.stats, findings.clients, strict=True)
    )
    evidence = {
        "gap": min(told, unheard),
        "broker": max(0, unheard - told),
        "slow_client": sum(int(stats.get("dropped", 0)) for stats in findings.stats),
        "connection_down": int(causes.get("connection_down", 0)),
    }
    split, left = {}, max(0, lost)
    for cause, count in evidence.items():
        split[cause] = min(left, count)
        left -= split[cause]
    return split | {"under_way": left}


def account(contender: Contender, scenario: Scenario, number: int, findings: Findings) -> Run:
    """The run, having checked itself."""
    load = findings.load
    delivered = int(load["deliveries"])
    lost = findings.expected - delivered
    histograms = {name: Histogram.decode(text) for name, text in load["histograms"].items() if name in (*HOPS, LATENCY)}
    facts = _facts(scenario, findings, lost, histograms)
    return Run(
        contender=contender.name,
        round=number,
        delivery=contender.delivery,
        scenario=scenario,
        published=sum(sum(measured(report).values()) for report in findings.reports),
        expected=findings.expected,
        delivered=delivered,
        lost=lost,
        duplicated=int(load["duplicated"]),
        reordered=int(load["reordered"]),
        gaps=sum(int(stats.get("gaps", 0)) for stats in findings.stats),
        achieved_hz=facts.achieved_hz,
        lost_by_cause=split_by_cause(lost, findings, contender.embedded),
        histograms=histograms,
        usage=findings.window.parts,
        timeline=[TimelineRow(**row) for row in load["timeline"]],
        figures=_figures(scenario, findings),
        problems=problems(facts),
        disturbed=disturbed(facts),
    )


def _facts(scenario: Scenario, findings: Findings, lost: int, histograms: Mapping[str, Histogram]) -> Facts:
    reports, load = findings.reports, findings.load
    return Facts(
        scenario=scenario,
        # Each replica that generates itself has the whole rate, so theirs are averaged.
        achieved_hz=sum(report["achieved_hz"] for report in reports) / len(reports),
        lateness_p99_ms=max(report["lateness_ms"]["p99"] for report in reports),
        failed_publishes=sum(report["failed"] for report in reports),
        clients_at_start=findings.clients_at_start,
        clients_at_end=int(load["connected"]),
        reconnects=int(load["reconnects"]),
        expected=findings.expected,
        delivered=findings.expected - lost,
        lost=lost,
        histogram_counts={name: histogram.count for name, histogram in histograms.items()},
        negative=int(load["negative"]) + sum(report["lateness_negative"] for report in reports),
        clock_step_ns=max((report["clock_step_ns"] for report in reports), key=abs),
        usage=findings.window.parts,
        others_cores=findings.window.others_cores,
    )


def _figures(scenario: Scenario, findings: Findings) -> dict[str, float]:
    """Further columns; those of recovery only where something was broken."""
    load = findings.load
    figures = {
        f"connect_{name}_ms": float(load["connect_ms"][name]) for name in ("p50", "p99") if load.get("connect_ms")
    }
    figures |= {f"{part}_growth_mb_min": slope for part, slope in findings.window.rss_mb_per_min.items()}
    figures["connection_kb"] = round(findings.grown_mb * 1000 / scenario.clients, 2)
    if load.get("event_bytes"):
        figures["event_bytes"] = float(load["event_bytes"])
    figures["others_cores"] = round(findings.window.others_cores, 3)
    if not scenario.faults:
        return figures
    recovery, bystanders = load.get("recovery", {}), load.get("bystanders", {})
    if first := recovery.get("first_event_ms"):
        figures |= {"recovery_p50_ms": float(first["p50"]), "recovery_max_ms": float(first["max"])}
    if silence := recovery.get("longest_silence_ms"):
        figures["silence_ms"] = float(silence["max"])
    if (before := bystanders.get("before_ms")) and before["p99"]:
        figures |= {"before_p99_ms": float(before["p99"]), "bystanders_p99_ms": float(bystanders["latency_ms"]["p99"])}
    figures |= {"replayed": float(load.get("replayed", 0)), "reconnects": float(load["reconnects"])}
    figures["retried"] = float(sum(report.get("retried", 0) for report in findings.reports))
    figures["failed_publishes"] = float(sum(report["failed"] for report in findings.reports))
    figures["recovered"] = float(findings.all_back and not recovery.get("never", 0))
    return figures
