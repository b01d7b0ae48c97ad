"""Measures CPU and memory of each part in the measured phase: whole process trees, read from the operating system."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import linear_regression

import psutil

from harness.results.run_record import Usage

_INTERVAL_S = 0.5
_MB = 1_000_000
_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


@dataclass(slots=True)
class _Tracked:
    """One process: its CPU seconds when first and last seen in the window."""

    process: psutil.Process
    first_cpu_s: float
    last_cpu_s: float


@dataclass(slots=True)
class _Part:
    tracked: dict[int, _Tracked] = field(default_factory=dict)
    peak_rss: int = 0
    rss: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the window's start, and bytes."""
    stopped: int = 0
    """The number of samples in which one of its processes was stopped."""


@dataclass(frozen=True, slots=True)
class Window:
    """The usage between `start` and `stop`."""

    seconds: float
    parts: dict[str, Usage]
    rss_mb_per_min: dict[str, float]
    """The growth of each part's memory: the slope of a straight line through the second half of the samples."""
    others_cores: float | None
    """Cores used by processes outside the run, without fanbench itself. None if nobody watched."""
    stood_still_s: dict[str, float] = field(default_factory=dict)
    """How long one of its processes was seen stopped by a signal (SIGSTOP, Ctrl-Z, a debugger), by part."""


class Sampler:
    """Follows the process trees under some root ids, by part, in a separate thread; a fault may replace roots.

    Without `others`, the usage of other processes is unknown, because they include a part of the run.
    """

    def __init__(self, roots: Callable[[], Mapping[str, Sequence[int]]], *, others: bool = True) -> None:
        self._roots = roots
        self._others = others
        self._parts = {name: _Part() for name in roots()}
        self._own = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._started_s = 0.0
        self._busy_s = 0.0
        self._own_s = 0.0

    def start(self) -> None:
        """Begin the window."""
        self._started_s = time.monotonic()
        self._busy_s = _busy_cpu_s()
        self._own_s = _cpu_s(self._own)
        self._sample(discover=True, begin=True)
        self._thread.start()

    def stop(self) -> Window:
        """End the window."""
        self._done.set()
        self._thread.join()
        self._sample(discover=True)
        seconds = time.monotonic() - self._started_s
        parts = {name: self._usage(part, seconds) for name, part in self._parts.items()}
        ours_s = sum(usage.cpu_s for usage in parts.values()) + _cpu_s(self._own) - self._own_s
        others = max(0.0, (_busy_cpu_s() - self._busy_s - ours_s) / seconds)
        slopes = {name: _mb_per_min(part.rss[len(part.rss) // 2 :]) for name, part in self._parts.items()}
        still = {name: part.stopped * _INTERVAL_S for name, part in self._parts.items() if part.stopped}
        return Window(seconds, parts, slopes, others if self._others else None, still)

    def _follow(self) -> None:
        turn = 0
        while not self._done.wait(_INTERVAL_S):
            turn += 1
            # Searching /proc for new children costs milliseconds, so it happens only every other second.
            self._sample(discover=turn % 4 == 0)

    def _sample(self, discover: bool, begin: bool = False) -> None:
        roots = self._roots() if discover else {}
        for name, part in self._parts.items():
            if discover:
                for process in _trees(roots.get(name, ())):
                    if process.pid not in part.tracked:
                        used = _cpu_s(process) if begin else 0.0  # started in the window: all its CPU counts
                        part.tracked[process.pid] = _Tracked(process, used, used)
            rss, still = 0, False
            for tracked in part.tracked.values():
                try:
                    with tracked.process.oneshot():
                        still = still or tracked.process.status() in _STOPPED
                        tracked.last_cpu_s = max(tracked.last_cpu_s, _cpu_s(tracked.process))
                        rss += tracked.process.memory_info().rss
                except psutil.Error:
                    continue  # it has ended, so its last sample counts
            part.stopped += still
            part.peak_rss = max(part.peak_rss, rss)
            part.rss.append((time.monotonic() - self._started_s, rss))

    @staticmethod
    def _usage(part: _Part, seconds: float) -> Usage:
        used = [tracked.last_cpu_s - tracked.first_cpu_s for tracked in part.tracked.values()]
        return Usage(
            cpu_s=round(sum(used), 5),
            rss_mb=round(part.peak_rss / _MB, 1),
            busiest_core=round(max(used, default=0.0) / seconds, 3),
        )


def _mb_per_min(samples: Sequence[tuple[float, int]]) -> float:
    """The slope of the least-squares line; 0 with fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    at_s, rss = zip(*samples, strict=True)
    return round(linear_regression(at_s, rss).slope * 60 / _MB, 3)


def _trees(roots: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in roots:
        try:
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)
        except psutil.Error:
            continue


def stopped_now(roots: Mapping[str, Sequence[int]]) -> list[str]:
    """The parts with a process that a signal has stopped."""
    found = []
    for name, pids in roots.items():
        with contextlib.suppress(psutil.Error):
            if any(process.status() in _STOPPED for process in _trees(pids)):
                found.append(name)
    return found


def rss_mb(roots: Sequence[int]) -> float:
    """The present resident memory of the process trees under these ids."""
    total = 0
    for process in _trees(roots):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / _MB


def connections_to(roots: Sequence[int], listeners: Iterable[str]) -> int:
    """The current TCP connections between the listeners (host:port) of these process trees and their clients."""
    ports = {int(listener.rpartition(":")[2]) for listener in listeners}
    total = 0
    for process in _trees(roots):
        with contextlib.suppress(psutil.Error):
            found = process.net_connections("tcp")
            total += sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port in ports for one in found)
    return total


def _cpu_s(process: psutil.Process) -> float:
    """CPU seconds of all threads of the process; 0 if it has ended.

    Linux counts them in nanoseconds but reports ticks of 10 ms, a tenth of a replica's usage in a short run.
    """
    try:
        if sys.platform == "linux":
            return time.clock_gettime_ns(_cpu_clock(process.pid)) / 1e9
        times = process.cpu_times()
    except (psutil.Error, OSError):
        return 0.0
    return float(times.user + times.system)


def _cpu_clock(pid: int) -> int:
    """The id of a process's CPU clock, like clock_getcpuclockid(3), which Python has only for threads."""
    return (~pid << 3) | 2


def _busy_cpu_s() -> float:
    """CPU seconds of all processes of the machine, without interrupts and stolen time."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))
