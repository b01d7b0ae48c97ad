"""What the suite enters into Locust's own table, charts and errors; Locust's environment is passed in.

Locust's charts show its total row. Only deliveries are entered there: what it takes to connect is in a row of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FINE_MS = 10
"""Below this, tenths of a millisecond are kept apart: a delivery often takes less than one."""


def bucket_ms(milliseconds: float) -> float:
    """The value under which Locust counts a time: two significant digits, as its own does, but from a tenth on."""
    if milliseconds < _FINE_MS:
        return round(milliseconds, 1)
    if milliseconds < 100:
        return round(milliseconds)
    if milliseconds < 1000:
        return round(milliseconds, -1)
    return round(milliseconds, -2 if milliseconds < 10_000 else -3)


class LocustTable:
    """The rows of this process, for one transport."""

    def __init__(self, environment: Any, transport_name: str) -> None:
        self._environment = environment
        self._name = transport_name

    def connected(self, took_ns: int, failure: str) -> None:
        """An attempt to connect is over."""
        stats = self._environment.stats
        stats.get("connect", self._name).log(took_ns / 1e6, 0)
        if failure:
            stats.log_error(self._name, "connect", failure)

    def broken(self, reason: str) -> None:
        """A stream has ended."""
        self._environment.stats.log_error(self._name, "stream", reason)

    def delivered(self, latency_ns: npt.NDArray[np.int64], content_bytes: int) -> None:
        """Enter deliveries of that many bytes together: one by one, Locust's `log` costs more than the delivery itself."""
        stats = self._environment.stats
        counted = count_ms(latency_ns)
        for entry in (stats.get("delivery", self._name), stats.total) if counted else ():
            for milliseconds, count in counted:
                entry.log(milliseconds, 0)
                entry.num_requests += count - 1
                entry.num_reqs_per_sec[int(entry.last_request_timestamp)] += count - 1
                entry.total_response_time += milliseconds * (count - 1)
                entry.response_times[bucket_ms(milliseconds)] += count - 1
            entry.total_content_length += content_bytes


def count_ms(latency_ns: npt.NDArray[np.int64]) -> list[tuple[float, int]]:
    """How many latencies there are of each tenth of a millisecond, from 10 ms on of each millisecond; a minute at most."""
    tenths = np.clip(latency_ns // 100_000, 0, 600_000)
    fine = tenths < 10 * _FINE_MS
    counted: list[tuple[float, int]] = []
    for values, per_ms in ((tenths[fine], 10), (tenths[~fine] // 10, 1)):
        counts = np.bincount(values)
        counted += [(value / per_ms, int(counts[value])) for value in np.flatnonzero(counts).tolist()]
    return counted
