"""Shared by /metrics of server and generator: base units, and every series from the first scrape."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from core.build import installed_version, source_commit
from core.latency_buckets import BOUNDS_S, LatencyBuckets

_ENDS = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]


def build_info() -> GaugeMetricFamily:
    """`fanbench_build_info`, whose labels say which fanbench this is."""
    family = GaugeMetricFamily("fanbench_build_info", "1; the labels say which fanbench", labels=["version", "commit"])
    family.add_metric([installed_version(), source_commit()], 1)
    return family


def latencies(name: str, words: str, buckets: LatencyBuckets) -> HistogramMetricFamily:
    """A histogram in seconds."""
    found = list(zip(_ENDS, buckets.cumulative(), strict=True))
    return HistogramMetricFamily(name, words, buckets=found, sum_value=buckets.sum_s)


def counts(
    name: str, words: str, label: str, found: Mapping[str, int], expected: Collection[str] = ()
) -> CounterMetricFamily:
    """A counter for each value of a label; those in `expected` exist, as 0, before anything was counted."""
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in (dict.fromkeys(expected, 0) | dict(found)).items():
        family.add_metric([value], count)
    return family
