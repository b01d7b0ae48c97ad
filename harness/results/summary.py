"""The columns of summary.csv and their values."""

from __future__ import annotations

from collections.abc import Callable

from core.contracts.run_record import FURTHER_COLUMNS, MAIN_COLUMNS, FurtherColumns, MainColumns, SummaryRow
from core.histogram import Histogram
from harness.results.run_record import HOPS, LATENCY, Run, Usage

COLUMNS = (*MAIN_COLUMNS, *FURTHER_COLUMNS)
"""The columns of every summary; a run's own `figures` come after them."""

_STATISTICS: dict[str, Callable[[Histogram], float]] = {
    "mean": Histogram.mean_ms,
    "p50": lambda histogram: histogram.percentile_ms(50),
    "p90": lambda histogram: histogram.percentile_ms(90),
    "p99": lambda histogram: histogram.percentile_ms(99),
    "p999": lambda histogram: histogram.percentile_ms(99.9),
    "max": Histogram.max_ms,
}


def split_metric(column: str) -> tuple[str, str] | None:
    """Parse `broker_p99_ms` as `("broker", "p99")`, `p99_ms` as `("latency", "p99")`; None for other columns."""
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


def _ms(run: Run, column: str) -> float | None:
    value = value_of(run, column)
    return None if value is None else round(value, 3)


def row_of(run: Run, number: int) -> SummaryRow:
    """Return the row of a run; `number` is its position among the runs, from 1.

    A figure that was not measured is None.
    """
    return SummaryRow(main=_main(run), further=_further(run, number), figures=run.figures)


def _main(run: Run) -> MainColumns:
    broker, server, generator, load = _usages(run)
    return MainColumns(
        contender=run.contender,
        round=run.round,
        delivery=run.delivery,
        clients=run.scenario.clients,
        replicas=None if run.endpoint else run.scenario.replicas,
        rate_hz=run.scenario.rate_hz,
        published=run.published,
        expected=run.expected,
        delivered=run.delivered,
        lost=run.lost,
        duplicated=run.duplicated,
        reordered=run.reordered,
        gaps=None if run.endpoint else run.gaps,
        p50_ms=_ms(run, "p50_ms"),
        p90_ms=_ms(run, "p90_ms"),
        p99_ms=_ms(run, "p99_ms"),
        p999_ms=_ms(run, "p999_ms"),
        max_ms=_ms(run, "max_ms"),
        schedule_p99_ms=_ms(run, "schedule_p99_ms"),
        broker_p50_ms=_ms(run, "broker_p50_ms"),
        broker_p99_ms=_ms(run, "broker_p99_ms"),
        fanout_p50_ms=_ms(run, "fanout_p50_ms"),
        fanout_p99_ms=_ms(run, "fanout_p99_ms"),
        broker_cpu_s=broker.cpu_s if broker else None,
        server_cpu_s=server.cpu_s if server else None,
        generator_cpu_s=generator.cpu_s if generator else None,
        load_cpu_s=load.cpu_s if load else None,
        broker_rss_mb=broker.rss_mb if broker else None,
        server_rss_mb=server.rss_mb if server else None,
        valid=run.valid,
        problems="; ".join(run.problems),
    )


def _further(run: Run, number: int) -> FurtherColumns:
    broker, server, generator, load = _usages(run)
    lost = run.lost_by_cause
    return FurtherColumns(
        run=number,
        transport=run.transport,
        payload_bytes=run.scenario.payload_bytes,
        topics=run.scenario.topics,
        schedule=run.scenario.schedule,
        duration_s=run.scenario.duration_s,
        achieved_hz=run.achieved_hz,
        lost_broker=lost.get("broker"),
        lost_gap=lost.get("gap"),
        lost_slow_client=lost.get("slow_client"),
        lost_connection_down=lost.get("connection_down"),
        lost_unexplained=lost.get("unexplained"),
        lost_under_way=lost.get("under_way"),
        mean_ms=_ms(run, "mean_ms"),
        schedule_mean_ms=_ms(run, "schedule_mean_ms"),
        broker_mean_ms=_ms(run, "broker_mean_ms"),
        fanout_mean_ms=_ms(run, "fanout_mean_ms"),
        schedule_p50_ms=_ms(run, "schedule_p50_ms"),
        generator_rss_mb=generator.rss_mb if generator else None,
        load_rss_mb=load.rss_mb if load else None,
        broker_core=broker.busiest_core if broker else None,
        server_core=server.busiest_core if server else None,
        generator_core=generator.busiest_core if generator else None,
        load_core=load.busiest_core if load else None,
        negative=sum(histogram.negative for histogram in run.histograms.values()),
        fault=" ".join(fault.kind for fault in run.scenario.faults),
        not_watched=" ".join(run.not_watched),
    )


def _usages(run: Run) -> tuple[Usage | None, Usage | None, Usage | None, Usage | None]:
    usage = run.usage
    return usage.get("broker"), usage.get("server"), usage.get("generator"), usage.get("load")
