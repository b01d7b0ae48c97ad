"""The result of a measurement: the JSON of `--out`, and the checks that the numbers add up."""

from __future__ import annotations

from typing import Any

from core.histogram import Histogram
from load.latency_recorder import HOPS
from load.worker_result import WorkerResult


def build_result(totals: WorkerResult, problems: list[str]) -> dict[str, Any]:
    """What `--out` writes; docs/load.md explains each field."""
    counts = totals.counts
    latency = totals.latency()
    hops = {name: _time(totals, name) for name in HOPS}
    negatives = {name: one.negative for name, one in ({"latency": latency} | hops).items()}
    return {
        "clients": counts["clients"],
        "users": counts["users"],
        "connected": counts["connected"],
        "unreached": counts["unreached"],
        "deliveries": counts["deliveries"],
        "received": counts["received"],
        "events": totals.events(),
        "lost": counts["lost"],
        "duplicated": counts["duplicated"],
        "reordered": counts["reordered"],
        "replayed": counts["replayed"],
        "reconnects": counts["reconnects"],
        "gaps": counts["gaps"],
        "negative": sum(negatives.values()),
        "negatives": {name: count for name, count in negatives.items() if count},
        "foreign": sum(totals.foreign.values()),
        "duration_s": duration_s(totals),
        "latency_ms": latency.summary_ms(),
        "hops_ms": {name: hop.summary_ms() for name, hop in hops.items()},
        "event_bytes": round(counts["wire_bytes"] / counts["sized"], 1) if counts["sized"] else None,
        "connect_ms": _time(totals, "connect").summary_ms(),
        "downtime_ms": _time(totals, "downtime").summary_ms(),
        "servers": _servers(totals),
        "topics": _topics(totals),
        "causes": dict(totals.causes),
        "foreign_kinds": dict(totals.foreign),
        "disconnects": dict(totals.disconnects),
        "refused": dict(totals.refused),
        "timeline": _timeline(totals),
        "histograms": {"latency": latency.encode()} | {name: hop.encode() for name, hop in hops.items()},
        "problems": problems + check(totals),
    } | _faults(totals, latency)


def _time(totals: WorkerResult, name: str) -> Histogram:
    return totals.times[name].histogram if name in totals.times else Histogram()


def _faults(totals: WorkerResult, latency: Histogram) -> dict[str, Any]:
    """What clients saw since the last mark; nothing if there was none."""
    if "silence" not in totals.times:
        return {}
    first, silence = _time(totals, "first_event"), _time(totals, "silence")
    bystanders = _time(totals, "bystanders") if "bystanders" in totals.times else latency
    return {
        "recovery": {
            "clients": silence.count,
            "never": silence.count - first.count,
            "first_event_ms": first.summary_ms(),
            "longest_silence_ms": silence.summary_ms(),
        },
        "bystanders": {
            "clients": totals.counts["bystanders"],
            "deliveries": bystanders.count + bystanders.negative,
            "latency_ms": bystanders.summary_ms(),
            "before_ms": _time(totals, "before").summary_ms(),
        },
    }


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
    latency = totals.latency()
    histograms = {"latency": latency} | {name: _time(totals, name) for name in HOPS}
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
        for name, one in histograms.items()
        if one.count + one.negative != deliveries
    ]


def _servers(totals: WorkerResult) -> dict[str, Any]:
    names = sorted({server for server, _ in totals.clients} | set(totals.servers))
    servers = {}
    for name in names:
        topics = {topic: count for (server, topic), count in sorted(totals.clients.items()) if server == name}
        latency = totals.servers[name].histogram if name in totals.servers else Histogram()
        servers[name] = {
            "clients": sum(topics.values()),
            "deliveries": latency.count + latency.negative,
            "latency_ms": latency.summary_ms(),
            "topics": topics,
        }
    return servers


def _topics(totals: WorkerResult) -> dict[str, int]:
    topics: dict[str, int] = {}
    for (_, topic), count in sorted(totals.clients.items()):
        topics[topic] = topics.get(topic, 0) + count
    return topics


def _timeline(totals: WorkerResult) -> list[dict[str, float]]:
    """One row for each second of due time in which an event was due, by the wall clock's whole seconds."""
    first = min(totals.seconds, default=0)
    rows = []
    for second, distribution in sorted(totals.seconds.items()):
        latency = distribution.histogram
        rows.append(
            {
                "t_s": second - first,
                "deliveries": latency.count + latency.negative,
                "p50_ms": latency.percentile_ms(50),
                "p99_ms": latency.percentile_ms(99),
                "max_ms": latency.max_ms(),
            }
        )
    return rows
