"""Made-up runs and comparisons for tests of their readers: seeded, and with counts that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.contracts.capacity import Capacity, CapacityPoint
from core.contracts.load_result import MeasuredSecond
from core.histogram import Histogram
from core.scenario import Scenario
from harness.results.run_record import CAUSES, Comparison, Run, Usage

SCENARIO = Scenario(name="broadcast", clients=50, replicas=2, rate_hz=20, duration_s=5, rounds=5)


def histogram(values_ms: Sequence[float] | np.ndarray) -> Histogram:
    made = Histogram()
    made.record_ns((np.asarray(values_ms) * 1e6).astype(np.int64))
    return made


def run(
    contender: str = "valkey",
    round: int = 1,
    *,
    delivery: str = "at-most-once",
    broker_ms: float = 0.4,
    fanout_ms: float = 6.0,
    lost: Mapping[str, int] | None = None,
    problems: tuple[str, ...] = (),
    scenario: Scenario = SCENARIO,
    seed: int = 1,
    **fields: object,
) -> Run:
    """A run whose hops are log-normal around the given medians."""
    rng = np.random.default_rng([seed, round, *contender.encode()])
    published = int(scenario.rate_hz * scenario.duration_s)
    causes = dict.fromkeys(CAUSES, 0) | dict(lost or {})
    missing = sum(causes.values())
    expected = published * scenario.clients
    delivered = expected - missing
    # A whole round is a little faster or slower, which intervals over rounds must cover.
    shift = rng.normal(1.0, 0.03)
    hops = {
        "schedule": rng.lognormal(np.log(0.15), 0.3, delivered),
        "broker": rng.lognormal(np.log(broker_ms * shift), 0.6, delivered),
        "fanout": rng.lognormal(np.log(fanout_ms * shift), 0.5, delivered),
    }
    latency = hops["schedule"] + hops["broker"] + hops["fanout"]
    usage = {"server": Usage(4.2, 96.5, 0.42), "generator": Usage(0.6, 41.0, 0.08), "load": Usage(3.1, 82.0, 0.61)}
    if contender != "memory":
        usage["broker"] = Usage(0.25, 9.5, 0.03)
    p50, p99 = np.percentile(latency, [50, 99])
    seconds = int(scenario.duration_s)
    timeline = [
        MeasuredSecond(
            t_s=t,
            deliveries=delivered // seconds + (t < delivered % seconds),
            p50_ms=round3(p50 * rng.normal(1, 0.02)),
            p99_ms=round3(p99 * rng.normal(1, 0.05)),
            max_ms=round3(latency.max()),
        )
        for t in range(seconds)
    ]
    values: dict[str, object] = {
        "published": published,
        "expected": expected,
        "delivered": delivered,
        "lost": missing,
        "achieved_hz": scenario.rate_hz,
        "lost_by_cause": causes,
        "histograms": {hop: histogram(ms) for hop, ms in hops.items()} | {"latency": histogram(latency)},
        "usage": usage,
        "timeline": timeline,
    }
    return Run(contender, round, delivery, scenario, problems=problems, **(values | fields))  # type: ignore[arg-type]


def fault_run(
    contender: str, kind: str, *, delivery: str = "at-most-once", silence_ms: float = 900, **fields: object
) -> Run:
    """A run in which something was broken on purpose."""
    figures = {"silence_ms": silence_ms, "recovery_p50_ms": 40.0, "recovery_max_ms": 90.0, "recovered": 1.0}
    figures |= {"replayed": 0.0, "reconnects": 25.0}
    scenario = SCENARIO.with_fields(name="faults", faults=[{"kind": kind}])
    values: dict[str, object] = {"figures": figures, "scenario": scenario, "delivery": delivery}
    return run(contender, **(values | fields))  # type: ignore[arg-type]


def search(contender: str = "valkey", held: int | None = 4000, broke: int | None = 4400) -> Capacity:
    """The findings of a capacity search."""
    points = tuple(
        CapacityPoint(
            load=load, held=load <= 4000, p99_ms=10 + load / 40, lost=0, why="" if load <= 4000 else "p99 120 ms"
        )
        for load in (500, 1000, 2000, 4000, 8000, 6000, 5000, 4400, 4000, 4400)
    )
    slo = "p99<115ms, lost=0"
    return Capacity(contender=contender, vary="clients", slo=slo, held=held, broke=broke, confirmed=True, points=points)


def round3(value: float) -> float:
    return float(f"{value:.3f}")


def comparison(runs: Sequence[Run], **fields: object) -> Comparison:
    values: dict[str, object] = {
        "name": "broadcast",
        "scenario": SCENARIO,
        "started_utc": "2025-11-24T01:36:00Z",
        "command": "fanbench compare valkey nats --rounds 5",
        "host": {"cpu": "an example CPU", "cores": "2", "system": "Linux"},
        "versions": {"valkey": "9.1.0", "python": "3.11.7"},
    }
    return Comparison(runs=list(runs), **(values | fields))  # type: ignore[arg-type]
