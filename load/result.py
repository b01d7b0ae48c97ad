"""The result of a measurement: the document of `--out`, and the checks that the numbers add up."""

from __future__ import annotations

from core.contracts.load_result import (
    Bystanders,
    Cause,
    EncodedHistograms,
    HopPercentiles,
    LoadResult,
    MeasuredSecond,
    RecoveryTimes,
    ServedClients,
)
from core.contracts.measures import Span
from core.histogram import Histogram
from load.worker_result import WorkerResult


def build_result(totals: WorkerResult, problems: list[str]) -> LoadResult:
    """What `--out` holds."""
    counts = totals.counts
    spans = _spans(totals)
    return LoadResult(
        clients=counts["clients"],
        users=counts["users"],
        connected=counts["connected"],
        unreached=counts["unreached"],
        deliveries=counts["deliveries"],
        received=counts["received"],
        events=totals.events(),
        lost=counts["lost"],
        duplicated=counts["duplicated"],
        reordered=counts["reordered"],
        replayed=counts["replayed"],
        reconnects=counts["reconnects"],
        gaps=counts["gaps"],
        negative=sum(one.negative for one in spans.values()),
        negatives={name: one.negative for name, one in spans.items() if one.negative},
        foreign=sum(totals.foreign.values()),
        duration_s=duration_s(totals),
        latency_ms=spans["latency"].summary_ms(),
        hops_ms=_hops(spans),
        event_bytes=round(counts["wire_bytes"] / counts["sized"], 1) if counts["sized"] else None,
        connect_ms=_time(totals, "connect").summary_ms(),
        downtime_ms=_time(totals, "downtime").summary_ms(),
        servers=_servers(totals),
        topics=_topics(totals),
        causes={Cause(name): count for name, count in totals.causes.items()},
        foreign_kinds=dict(totals.foreign),
        disconnects=dict(totals.disconnects),
        refused=dict(totals.refused),
        timeline=_timeline(totals),
        histograms=_encoded(spans),
        problems=(*problems, *check(totals)),
        recovery=_recovery(totals),
        bystanders=_bystanders(totals, spans["latency"]),
    )


def _time(totals: WorkerResult, name: str) -> Histogram:
    return totals.times[name].histogram if name in totals.times else Histogram()


def _spans(totals: WorkerResult) -> dict[Span, Histogram]:
    return {
        "latency": totals.latency(),
        "schedule": _time(totals, "schedule"),
        "broker": _time(totals, "broker"),
        "fanout": _time(totals, "fanout"),
    }


def _hops(spans: dict[Span, Histogram]) -> HopPercentiles:
    return HopPercentiles(
        schedule=spans["schedule"].summary_ms(),
        broker=spans["broker"].summary_ms(),
        fanout=spans["fanout"].summary_ms(),
    )


def _encoded(spans: dict[Span, Histogram]) -> EncodedHistograms:
    return EncodedHistograms(
        latency=spans["latency"].encode(),
        schedule=spans["schedule"].encode(),
        broker=spans["broker"].encode(),
        fanout=spans["fanout"].encode(),
    )


def _recovery(totals: WorkerResult) -> RecoveryTimes | None:
    """What clients saw since the last mark; None if there was none."""
    if "silence" not in totals.times:
        return None
    first, silence = _time(totals, "first_event"), _time(totals, "silence")
    return RecoveryTimes(
        clients=silence.count,
        never=silence.count - first.count,
        first_event_ms=first.summary_ms(),
        longest_silence_ms=silence.summary_ms(),
    )


def _bystanders(totals: WorkerResult, latency: Histogram) -> Bystanders | None:
    """What the others saw since the last mark; None if there was none."""
    if "silence" not in totals.times:
        return None
    theirs = _time(totals, "bystanders") if "bystanders" in totals.times else latency
    return Bystanders(
        clients=totals.counts["bystanders"],
        deliveries=theirs.count + theirs.negative,
        latency_ms=theirs.summary_ms(),
        before_ms=_time(totals, "before").summary_ms(),
    )


def duration_s(totals: WorkerResult) -> float:
    """Seconds from the first measured due instant to the last measured arrival."""
    if totals.first_due_ns is None:
        return 0.0
    return max(0, totals.last_arrival_ns - totals.first_due_ns) / 1e9


def check(totals: WorkerResult) -> list[str]:
    """What does not add up, in words; nothing if all is well."""
    if totals.counts["users"] and not totals.counts["clients"]:
        why = ", ".join(f"{count} x {reason}" for reason, count in sorted(totals.refused.items())) or "no answer"
        return [f"none of {totals.counts['users']} clients ever connected: {why}; is a replica running there?"]
    deliveries = totals.counts["deliveries"]
    received = totals.counts["received"]
    wrong = (
        []
        if received == deliveries
        else [
            f"the clients' ledgers hold {received} deliveries, the histograms were given {deliveries}: a defect in fanbench, "
            "please report it"
        ]
    )
    return wrong + [
        f"histogram {name} has {one.count + one.negative} values, the ledger {deliveries} deliveries: a defect in fanbench, "
        "please report it"
        for name, one in _spans(totals).items()
        if one.count + one.negative != deliveries
    ]


def _servers(totals: WorkerResult) -> dict[str, ServedClients]:
    names = sorted({server for server, _ in totals.clients} | set(totals.servers))
    servers = {}
    for name in names:
        topics = {topic: count for (server, topic), count in sorted(totals.clients.items()) if server == name}
        latency = totals.servers[name].histogram if name in totals.servers else Histogram()
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
    first = min(totals.seconds, default=0)
    return tuple(
        MeasuredSecond(
            t_s=second - first,
            deliveries=distribution.histogram.count + distribution.histogram.negative,
            p50_ms=distribution.histogram.percentile_ms(50),
            p99_ms=distribution.histogram.percentile_ms(99),
            max_ms=distribution.histogram.max_ms(),
        )
        for second, distribution in sorted(totals.seconds.items())
    )
