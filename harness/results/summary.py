"""The columns of summary.csv: what of a run stands in each, and how a run's counts are read back from its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.histogram import Histogram
from harness.results.run_record import CAUSES, HOPS, LATENCY, PARTS, Run, Usage

Cell = str | int | float | None

_HEADER = (
    "contender,round,delivery,clients,replicas,rate_hz,published,expected,delivered,lost,duplicated,reordered,gaps,"
    "p50_ms,p90_ms,p99_ms,p999_ms,max_ms,schedule_p99_ms,broker_p50_ms,broker_p99_ms,fanout_p50_ms,fanout_p99_ms,"
    "broker_cpu_s,server_cpu_s,generator_cpu_s,load_cpu_s,broker_rss_mb,server_rss_mb,valid,problems"
)
COLUMNS = tuple(_HEADER.split(","))
"""The published columns, in their order; FURTHER come after them, then each run's own `figures`."""

COUNTS = ("published", "expected", "delivered", "lost", "duplicated", "reordered", "gaps")
_SCENARIO = ("clients", "replicas", "rate_hz")
_FURTHER_SCENARIO = ("payload_bytes", "topics", "schedule", "duration_s")
FURTHER = [
    "run",
    "transport",
    *_FURTHER_SCENARIO,
    "achieved_hz",
    *(f"lost_{cause}" for cause in CAUSES),
    "mean_ms",
    *(f"{hop}_mean_ms" for hop in HOPS),
    "schedule_p50_ms",
    "generator_rss_mb",
    "load_rss_mb",
    *(f"{part}_core" for part in PARTS),
    "negative",
]
"""`run` is its place in the order of runs, from 1; `*_core` is `Usage.busiest_core`; `negative` counts latencies below 0."""

_STATISTICS: dict[str, Callable[[Histogram], float]] = {
    "mean": Histogram.mean_ms,
    "p50": lambda histogram: histogram.percentile_ms(50),
    "p90": lambda histogram: histogram.percentile_ms(90),
    "p99": lambda histogram: histogram.percentile_ms(99),
    "p999": lambda histogram: histogram.percentile_ms(99.9),
    "max": Histogram.max_ms,
}


def split_metric(column: str) -> tuple[str, str] | None:
    """`broker_p99_ms` as `("broker", "p99")`, `p99_ms` as `("latency", "p99")`; None for a column of another kind."""
    words = column.removesuffix("_ms").split("_")
    if not column.endswith("_ms") or words[-1] not in _STATISTICS or len(words) > 2:
        return None
    hop = words[0] if len(words) == 2 else LATENCY
    return (hop, words[-1]) if hop in (*HOPS, LATENCY) else None


def value_of(run: Run, column: str) -> float | None:
    """The figure of `run` in a latency column, in milliseconds; None when nothing was measured."""
    metric = split_metric(column)
    if metric is None:
        return None
    histogram = run.histograms.get(metric[0])
    return _STATISTICS[metric[1]](histogram) if histogram is not None and histogram.count else None


def row_of(run: Run, number: int) -> dict[str, Cell]:
    """The row of a run; `number` is its place in the order of runs, from 1. What was not measured is None."""
    row: dict[str, Cell] = {"contender": run.contender, "round": run.round, "delivery": run.delivery, "run": number}
    row |= {name: getattr(run.scenario, name) for name in (*_SCENARIO, *_FURTHER_SCENARIO)}
    row |= {name: getattr(run, name) for name in COUNTS}
    row |= {f"lost_{cause}": run.lost_by_cause.get(cause) for cause in CAUSES}
    row |= {"transport": run.transport, "achieved_hz": round(run.achieved_hz, 3)}
    for part in PARTS:
        usage = run.usage.get(part)
        row[f"{part}_cpu_s"] = None if usage is None else round(usage.cpu_s, 3)
        row[f"{part}_rss_mb"] = None if usage is None else round(usage.rss_mb, 3)
        row[f"{part}_core"] = None if usage is None else round(usage.busiest_core, 3)
    for column in (*COLUMNS, *FURTHER):
        if split_metric(column) is not None:
            value = value_of(run, column)
            row[column] = None if value is None else round(value, 3)
    row["negative"] = sum(histogram.negative for histogram in run.histograms.values())
    row |= {"valid": "true" if run.valid else "false", "problems": "; ".join(run.problems)}
    return row | {name: float(value) for name, value in run.figures.items()}


def _usage(row: Mapping[str, str], part: str) -> Usage | None:
    if not row[f"{part}_cpu_s"]:
        return None
    return Usage(float(row[f"{part}_cpu_s"]), float(row[f"{part}_rss_mb"]), float(row[f"{part}_core"]))


def counts_of(row: Mapping[str, str]) -> dict[str, object]:
    """The fields of `Run` that its row holds: counts, causes, usage, rate and further figures.

    Raises:
        KeyError: a column is missing.
        ValueError: a cell is not a number.
    """
    usages = {part: _usage(row, part) for part in PARTS}
    known = {*COLUMNS, *FURTHER}
    return {
        **{name: int(row[name]) for name in COUNTS},
        "contender": row["contender"],
        "round": int(row["round"]),
        "delivery": row["delivery"],
        "transport": row["transport"],
        "achieved_hz": float(row["achieved_hz"]),
        "lost_by_cause": {cause: int(row[f"lost_{cause}"]) for cause in CAUSES if row.get(f"lost_{cause}")},
        "usage": {part: usage for part, usage in usages.items() if usage is not None},
        "figures": {name: float(text) for name, text in row.items() if name not in known and text},
    }
