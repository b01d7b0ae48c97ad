"""Documents as the programs write them, for tests of their readers; fields can be replaced."""

from __future__ import annotations

from core.contracts.generator_report import GeneratorReport
from core.contracts.load_result import EncodedHistograms, HopPercentiles, LoadResult, MeasuredSecond, ServedClients
from core.contracts.measures import Percentiles, PhaseCounts
from core.contracts.replica_stats import ReplicaStats
from core.histogram import Histogram

PERCENTILES = Percentiles(p50=1.0, p90=2.0, p99=3.0, p999=4.0, max=5.0)


def encoded(deliveries: int, ms: float = 5.0) -> str:
    """A histogram of this many equal values."""
    histogram = Histogram()
    histogram.record_ns([int(ms * 1e6)] * deliveries)
    return histogram.encode()


def generator_report(**fields: object) -> GeneratorReport:
    """The report of a generator that was never late."""
    usual: dict[str, object] = {
        "stream": "s",
        "published": {"events": PhaseCounts(warmup=3, measure=20)},
        "failed": 0,
        "failures": {},
        "retried": 0,
        "scheduled": 20,
        "offered_hz": 10.0,
        "achieved_hz": 10.0,
        "measure_started_ns": 1_000_000_000,
        "measure_ended_ns": 3_000_000_000,
        "lateness_ms": Percentiles(p50=0.1, p90=0.2, p99=0.4, p999=0.4, max=0.5),
        "lateness_histogram": encoded(20, 0.1),
        "longest_outage_ms": 12.5,
        "lateness_negative": 0,
        "clock_step_ns": 1_000,
        "clocks": {},
        "cpu_s": 0.5,
    }
    return GeneratorReport.model_validate(usual | fields)


def replica_stats(**fields: object) -> ReplicaStats:
    """The /stats of a replica that got everything."""
    usual: dict[str, object] = {
        "server": "replica-1",
        "pid": 4711,
        "ready": True,
        "broker": "redis://127.0.0.1:6379",
        "delivery": "at-most-once",
        "broker_connected": True,
        "broker_notice": "",
        "clients": 10,
        "topics": {"events": 10},
        "received": {"s": {"events": PhaseCounts(warmup=3, measure=20)}},
        "delivered": 230,
        "batch_sends": True,
        "gap_lost": {},
        "foreign": {},
        "disconnects": {},
        "refused": {},
    }
    counts = ("gaps", "holes", "dropped", "replayed", "connects", "opened_topics", "closed_topics", "turned_away")
    counts += ("buffered_bytes", "history_events", "history_bytes")
    return ReplicaStats.model_validate(dict.fromkeys(counts, 0) | usual | fields)


def load_result(deliveries: int = 200, **fields: object) -> LoadResult:
    """The result of ten clients without losses."""
    histogram = encoded(deliveries)
    usual: dict[str, object] = {
        "clients": 10,
        "asked": 10,
        "users": 10,
        "connected": 10,
        "deliveries": deliveries,
        "received": deliveries,
        "events": 20,
        "negatives": {},
        "duration_s": 2.0,
        "latency_ms": PERCENTILES,
        "since_sent_ms": PERCENTILES,
        "hops_ms": HopPercentiles(schedule=PERCENTILES, broker=PERCENTILES, fanout=PERCENTILES),
        "event_bytes": None,
        "connect_ms": PERCENTILES,
        "turn_ms": PERCENTILES,
        "downtime_ms": PERCENTILES,
        "servers": {
            "replica-1": ServedClients(clients=10, deliveries=200, latency_ms=PERCENTILES, topics={"events": 10})
        },
        "topics": {"events": 10},
        "causes": {},
        "foreign_kinds": {},
        "disconnects": {},
        "refused": {},
        "timeline": (MeasuredSecond(t_s=0, deliveries=deliveries, p50_ms=5.0, p99_ms=5.0, max_ms=5.0),),
        "histograms": EncodedHistograms(latency=histogram, schedule=histogram, broker=histogram, fanout=histogram),
        "problems": (),
    }
    counts = (
        "left",
        "unreached",
        "lost",
        "duplicated",
        "reordered",
        "replayed",
        "reconnects",
        "gaps",
        "negative",
        "foreign",
    )
    return LoadResult.model_validate(dict.fromkeys(counts, 0) | usual | fields)
