"""The result of a measurement: the document of `--out`. load/result_checks.py checks that its numbers add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.contracts.load_result import (
    Bystanders,
    EncodedHistograms,
    HopPercentiles,
    LoadResult,
    MeasuredSecond,
    RecoveryTimes,
    ServedClients,
    VisitResult,
)
from core.contracts.measures import Span
from core.histogram import Histogram
from load.clock_problems import clock_problems, comparison, wide_bounds
from load.frames import Times
from load.result_checks import found_problems, missing_clients
from load.result_spans import duration_s, measured_spans, span_of
from load.stream_result import stream_figures
from load.worker_result import WorkerResult


def build_result(totals: WorkerResult, asked: int, problems: Sequence[str], breaches: Sequence[str] = ()) -> LoadResult:
    """The content of `--out`; `asked` is the last requested number of clients, `breaches` the results of `--fail-if`."""
    tally = totals.tally
    spans = measured_spans(totals)
    wide = wide_bounds(totals.clocks, spans)
    return LoadResult(
        asked=asked,
        clients=tally.clients,
        left=tally.left,
        users=tally.users,
        connected=tally.connected,
        unreached=tally.unreached,
        deliveries=tally.deliveries,
        reconnects=tally.reconnects,
        gaps=tally.gaps,
        foreign=sum(totals.foreign.values()),
        duration_s=duration_s(totals),
        event_bytes=round(tally.wire_bytes / tally.sized, 1) if tally.sized else None,
        connect_ms=span_of(totals, "connect").summary_ms() if span_of(totals, "connect").count else None,
        turn_ms=span_of(totals, "turn").summary_ms() if span_of(totals, "turn").count else None,
        downtime_ms=span_of(totals, "downtime").summary_ms(),
        servers=_servers(totals, spans),
        topics=_topics(totals),
        foreign_kinds=dict(totals.foreign),
        disconnects=dict(totals.disconnects),
        refused=dict(totals.refused),
        timeline=_timeline(totals) if "latency" in spans else (),
        problems=(
            *problems,
            *found_problems(totals, asked, problems),
            *clock_problems(totals.clocks),
            *([wide] if wide else []),
        ),
        clocks=comparison(totals.clocks),
        wide_bounds=wide,
        missing_clients=missing_clients(totals, asked),
        breaches=tuple(breaches),
        recovery=_recovery(totals),
        bystanders=_bystanders(totals, spans["latency"]) if "latency" in spans else None,
        visits=_visits(totals),
        streams=stream_figures(totals),
        **_ledger(totals),
        **_latencies(totals, spans),
    )


def _ledger(totals: WorkerResult) -> dict[str, Any]:
    """The fields that identify an event."""
    if not totals.has_ledger:
        return {}
    tally = totals.tally
    return {
        "received": tally.received,
        "events": totals.events(),
        "lost": totals.lost,
        "causes": dict(totals.causes),
        "duplicated": tally.duplicated,
        "reordered": tally.reordered,
        "replayed": tally.replayed if totals.tell(Times.ALL) else None,
    }


def _latencies(totals: WorkerResult, spans: dict[Span, Histogram]) -> dict[str, Any]:
    """The fields that say when events were sent, or due."""
    if "latency" not in spans:
        return {}
    return {
        "latency_ms": spans["latency"].summary_ms(),
        "since_sent_ms": span_of(totals, "since_sent").summary_ms() if "schedule" in spans else None,
        "hops_ms": _hops(spans),
        "negative": sum(one.negative for one in spans.values()),
        "negatives": {name: one.negative for name, one in spans.items() if one.negative},
        "histograms": _encoded(spans),
    }


def _hops(spans: dict[Span, Histogram]) -> HopPercentiles | None:
    if "schedule" not in spans:
        return None
    return HopPercentiles(
        schedule=spans["schedule"].summary_ms(),
        broker=spans["broker"].summary_ms() if "broker" in spans else None,
        fanout=spans["fanout"].summary_ms() if "fanout" in spans else None,
    )


def _encoded(spans: dict[Span, Histogram]) -> EncodedHistograms:
    return EncodedHistograms(**{name: one.encode() for name, one in spans.items()})


def _recovery(totals: WorkerResult) -> RecoveryTimes | None:
    """The clients' recovery since the last mark; None if there was none.

    A visit that opened later belongs to nobody's recovery, but its wait for the first event is a silence too.
    """
    if "silence" not in totals.spans:
        return None
    first, silence = span_of(totals, "first_event"), span_of(totals, "silence")
    silences = Histogram()
    for one in (silence, span_of(totals, "first_wait")):
        silences.merge(one)
    return RecoveryTimes(
        clients=silence.count,
        never=silence.count - first.count,
        first_event_ms=first.summary_ms(),
        longest_silence_ms=silences.summary_ms(),
    )


def _bystanders(totals: WorkerResult, latency: Histogram) -> Bystanders | None:
    """The bystanders since the last mark; None if there was none."""
    if "silence" not in totals.spans:
        return None
    theirs = span_of(totals, "bystanders") if "bystanders" in totals.spans else latency
    return Bystanders(
        clients=totals.tally.bystanders,
        deliveries=theirs.count + theirs.negative,
        latency_ms=theirs.summary_ms(),
        before_ms=span_of(totals, "before").summary_ms(),
    )


def _visits(totals: WorkerResult) -> VisitResult | None:
    """The visits to sessions; None if there were no sessions."""
    tally = totals.visits
    if tally is None:
        return None
    return VisitResult(
        due=tally.due,
        opened=tally.opened,
        complete=tally.complete,
        wrong=tally.wrong,
        late=tally.late,
        moved=tally.moved,
        expected=tally.expected,
        first_event_ms=span_of(totals, "first_token").summary_ms(),
        gap_sent_ms=span_of(totals, "gap_sent").summary_ms(),
        gap_seen_ms=span_of(totals, "gap_seen").summary_ms(),
    )


def _servers(totals: WorkerResult, spans: dict[Span, Histogram]) -> dict[str, ServedClients]:
    """The clients of each server, by the names that our replicas report; an endpoint reports none."""
    names = sorted({server for server, _ in totals.clients} | set(totals.servers))
    if totals.endpoint:
        names = [name for name in names if name and "latency" in spans]
    servers = {}
    for name in names:
        topics = {topic: count for (server, topic), count in sorted(totals.clients.items()) if server == name}
        latency = totals.servers.get(name, Histogram())
        servers[name] = ServedClients(
            clients=sum(topics.values()),
            deliveries=latency.count + latency.negative,
            latency_ms=latency.summary_ms(),
            topics=topics,
        )
    return servers


def _topics(totals: WorkerResult) -> dict[str, int]:
    topics: dict[str, int] = {}
    for (_, topic), count in sorted(totals.clients.items()):
        topics[topic] = topics.get(topic, 0) + count
    return topics


def _timeline(totals: WorkerResult) -> tuple[MeasuredSecond, ...]:
    """One entry for each second of due time in which an event was due, by the wall clock's whole seconds."""
    rows: list[MeasuredSecond] = []
    first = None
    for one in totals.seconds.seconds():
        first = one.second if first is None else first
        latency = one.histogram()
        p50_ms, p99_ms = latency.curve_ms([50, 99])
        deliveries = latency.count + latency.negative
        rows.append(
            MeasuredSecond(
                t_s=one.second - first, deliveries=deliveries, p50_ms=p50_ms, p99_ms=p99_ms, max_ms=latency.max_ms()
            )
        )
    return tuple(rows)
