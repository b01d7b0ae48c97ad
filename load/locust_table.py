"""Feeds Locust's own table, charts and errors; Locust's environment is passed in.

Locust's charts show its total row. Only deliveries are entered there; connects are in a separate row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from load.latency_recorder import Folded

_FINE_MS = 10
"""Below this, tenths of a millisecond are kept: a delivery often takes less than 1 ms."""
_MOST_TENTHS = 36_000_000
_DENSE = 60_000
"""Up to this value, counting into an array is cheaper than sorting."""
CONNECT, DELIVERY, FIRST_EVENT, GAP = "connect", "delivery", "first event", "gap between events"
_OWN_ROWS = (CONNECT, DELIVERY, FIRST_EVENT, GAP)


def bucket_ms(milliseconds: float) -> float:
    """The value under which Locust counts a time: two significant digits, as in Locust, but down to a tenth."""
    if milliseconds < _FINE_MS:
        return round(milliseconds, 1)
    if milliseconds < 100:
        return round(milliseconds)
    if milliseconds < 1000:
        return int(round(milliseconds, -1))
    return int(round(milliseconds, -2 if milliseconds < 10_000 else -3))


def round_ms(milliseconds: float, digits: int = 0) -> float:
    """How Locust's page shows a minimum and a maximum: in whole milliseconds, most deliveries would take one."""
    return round(milliseconds, max(digits, 1) if milliseconds < _FINE_MS else digits)


def percentile_fields(of: Any, entry: Any, use_current: bool = False) -> list[Any]:
    """The percentiles of a row of Locust's files; its own `StatsCSV` cuts them down to whole milliseconds."""
    if not entry.num_requests:
        return list(of.percentiles_na)
    current = use_current and entry.use_response_times_cache
    percentile = entry.get_current_response_time_percentile if current else entry.get_response_time_percentile
    return [percentile(one) or 0 for one in of.percentiles_to_report]


def write_last_rows(of: Any) -> None:
    """Write the totals to the `--csv` files, which Locust would leave up to a second out of date at the end."""
    for file, write, to in (
        (of.requests_csv_filehandle, of.requests_csv, of.requests_csv_writer),
        (of.failures_csv_filehandle, of.failures_csv, of.failures_csv_writer),
        (of.exceptions_csv_filehandle, of.exceptions_csv, of.exceptions_csv_writer),
    ):
        file.seek(0)
        write(to)
        file.truncate()


class LocustTable:
    """The rows of this process, for one transport, and the `request` events of whoever listens to them."""

    def __init__(self, environment: Any, transport_name: str) -> None:
        self._environment = environment
        self._name = transport_name
        self._times_known = False
        self._log_request = environment.stats.log_request
        environment.stats.log_request = self._log

    def _log(self, kind: str, name: str, took_ms: float, size_bytes: int) -> None:
        """Locust's own listener would record a `request`: ours are recorded already."""
        if kind != self._name or name not in _OWN_ROWS:
            self._log_request(kind, name, took_ms, size_bytes)

    def connected(self, took_ns: int, failure: str) -> None:
        """An attempt to connect is over."""
        self._environment.stats.get(CONNECT, self._name).log(took_ns / 1e6, 0)
        self._tell(CONNECT, took_ns / 1e6, 0, ConnectionError(failure) if failure else None)

    def broken(self, reason: str) -> None:
        """A stream has ended."""
        self._environment.stats.log_error(self._name, "stream", reason)

    def delivered(self, of: Folded) -> None:
        """Enter deliveries together: for a single one, Locust's `log` costs more than the delivery itself.

        If no event says when it was sent, the rows are `first event` and `gap between events`, whose times are known: Locust would
        show 0 ms for deliveries without one. If only some deliveries have a time, the others are counted without one.
        """
        self._times_known = self._times_known or len(of.latency_ns) > 0
        if of.untimed and not self._times_known:
            log_gaps(self._environment.stats, self._name, "", of, bucket_ms)
            self._tell_each(FIRST_EVENT, of.first_ns, of)
            self._tell_each(GAP, of.gap_ns, of)
            return
        stats, timed_bytes = self._environment.stats, of.content_bytes if len(of.latency_ns) else 0
        log_untimed(stats, self._name, DELIVERY, of.untimed, of.content_bytes - timed_bytes)
        log_many(stats, self._name, DELIVERY, of.latency_ns, timed_bytes, bucket_ms)
        if self._has_listeners():
            self._tell_each(DELIVERY, of.latency_ns.tolist(), of)

    def _tell_each(self, name: str, took_ns: Sequence[int], of: Folded) -> None:
        if took_ns and self._has_listeners():
            mean_bytes = round(of.content_bytes / (len(of.latency_ns) or of.untimed))
            for one_ns in took_ns:
                self._tell(name, one_ns / 1e6, mean_bytes, None)

    def _has_listeners(self) -> bool:
        """Whether anyone but Locust listens: an event for each delivery would be a cost without a use."""
        return len(self._environment.events.request._handlers) > 1

    def _tell(self, name: str, took_ms: float, size_bytes: int, failure: ConnectionError | None) -> None:
        """Fire Locust's `request`; a failure is entered by its own listener."""
        self._environment.events.request.fire(
            request_type=self._name,
            name=name,
            response_time=took_ms,
            response_length=size_bytes,
            response=None,
            context={},
            exception=failure,
            start_time=time.time() - took_ms / 1000,
            url="",
        )


def log_many(
    stats: Any,
    kind: str,
    name: str,
    latency_ns: npt.NDArray[np.int64],
    content_bytes: int,
    bucket: Callable[[float], float],
    *,
    in_total: bool = True,
) -> None:
    """Enter requests together, `content_bytes` long in total, in a row of Locust's table and in its total."""
    counted = count_ms(latency_ns)
    if not counted:  # no empty row
        return
    for entry in (stats.get(name, kind), stats.total) if in_total else (stats.get(name, kind),):
        for milliseconds, count in counted:
            entry.log(milliseconds, 0)
            entry.num_requests += count - 1
            entry.num_reqs_per_sec[int(entry.last_request_timestamp)] += count - 1
            entry.total_response_time += milliseconds * (count - 1)
            entry.response_times[bucket(milliseconds)] += count - 1
        entry.total_content_length += content_bytes


def log_untimed(stats: Any, kind: str, name: str, count: int, content_bytes: int) -> None:
    """Enter `count` requests of unknown duration in a row of Locust's table and in its total."""
    for entry in (stats.get(name, kind), stats.total) if count else ():
        _count_without_time(entry, count, content_bytes)


def log_gaps(stats: Any, kind: str, prefix: str, of: Folded, bucket: Callable[[float], float]) -> None:
    """Enter deliveries by the times between them: the total row has the gaps, and counts the first events without a time."""
    first_bytes = round(of.content_bytes * len(of.first_ns) / ((len(of.first_ns) + len(of.gap_ns)) or 1))
    first_ns, gap_ns = np.array(of.first_ns, np.int64), np.array(of.gap_ns, np.int64)
    log_many(stats, kind, prefix + FIRST_EVENT, first_ns, first_bytes, bucket, in_total=False)
    if of.first_ns:
        _count_without_time(stats.total, len(of.first_ns), first_bytes)
    log_many(stats, kind, prefix + GAP, gap_ns, of.content_bytes - first_bytes, bucket)


def _count_without_time(entry: Any, count: int, content_bytes: int) -> None:
    entry.log(None, content_bytes)
    entry.num_requests += count - 1
    entry.num_none_requests += count - 1
    entry.num_reqs_per_sec[int(entry.last_request_timestamp)] += count - 1


def count_ms(latency_ns: npt.NDArray[np.int64]) -> list[tuple[float, int]]:
    """The number of latencies in each tenth of a millisecond, from 10 ms on in each millisecond; at most an hour."""
    tenths = np.clip(latency_ns // 100_000, 0, _MOST_TENTHS)
    fine = tenths < 10 * _FINE_MS
    counted: list[tuple[float, int]] = []
    for values, per_ms in ((tenths[fine], 10), (tenths[~fine] // 10, 1)):
        counted += [(value / per_ms, count) for value, count in _occurrences(values)]
    return counted


def _occurrences(values: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Each value and how often it occurs. Few deliveries take over a minute, but gaps may: then the array would be long."""
    if not len(values):
        return []
    if values.max() > _DENSE:
        found, counts = np.unique(values, return_counts=True)
    else:
        dense = np.bincount(values)
        found = np.flatnonzero(dense)
        counts = dense[found]
    return list(zip(found.tolist(), counts.tolist(), strict=True))
