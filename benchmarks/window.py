"""One measured window: events through a server at a steady rate, and a process's usage for their deliveries."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from benchmarks.machine import cpu_ns, on_core, reads, tree
from benchmarks.rivals import RivalProcess
from core.errors import FanbenchError

READER = Path(__file__).with_name("epoll_reader.py")
ARRIVE_S = 20.0


class EpollReader:
    """The independent reader as a child process, all its streams open; leaving the `with` block ends it."""

    def __init__(self, port: int, clients: int, core: int | None, pause_ms: float = 2.0, reader: Path = READER) -> None:
        """`reader` is a program with the command line of epoll_reader.py."""
        command = [sys.executable, reader, "127.0.0.1", port, "/sse", clients, pause_ms]
        with on_core(core):
            self._process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        self.pid = self._process.pid
        self.clients = clients
        self.opened_s = 0.0

    def __enter__(self) -> EpollReader:
        try:
            self.opened_s = float(self._answer()["opened_s"])
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise FanbenchError("the reader ended; its message is above")
        found: dict[str, Any] = json.loads(line)
        return found

    def count(self) -> dict[str, Any]:
        """`events`, `bytes` and streams `open` so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        return self._answer()

    def delivered(self) -> int:
        """Events so far, over all streams."""
        return int(self.count()["events"])


class Used(NamedTuple):
    """The cost of a window."""

    cpu_ns: int
    deliveries: int
    achieved_hz: float
    """Events per second: fewer than offered if a server needs longer for an event than the interval to the next."""

    @property
    def us(self) -> float:
        """Microseconds of CPU for each delivery."""
        return self.cpu_ns / 1000 / self.deliveries


def measure(pid: int, server: RivalProcess, reader: EpollReader, rate_hz: float, seconds: float) -> Used:
    """Feed `rate_hz` x `seconds` events, and wait until each has arrived; the CPU is that of `pid` and its children.

    An event is fed when it is due and the previous one has arrived everywhere. Otherwise, on a busy machine, a server
    that joins queued events would save writes that another makes one by one.

    Raises:
        FanbenchError: a delivery did not arrive within ARRIVE_S.
    """
    pids = tree(pid)
    first = reader.delivered()
    used_ns, start_s = cpu_ns(pids), time.monotonic()
    events = 0
    for number in paced(rate_hz, seconds):
        server.feed()
        events = number + 1
        arrive(reader.delivered, first + events * reader.clients, poll_s=0.001)
    return Used(cpu_ns(pids) - used_ns, reader.delivered() - first, _achieved_hz(events, rate_hz, start_s))


def measure_load(
    pid: int, server: RivalProcess, clients: int, delivered: Callable[[], int], rate_hz: float, seconds: float
) -> Used:
    """Like `measure`, for a load: it reports arrivals late, but its number of read(2) calls shows them meanwhile.

    A load that does not use read(2) is only waited for at the end.
    """
    pids = tree(pid)
    first, first_reads = delivered(), reads(pid)
    used_ns, start_s = cpu_ns(pids), time.monotonic()
    events = 0
    for number in paced(rate_hz, seconds):
        server.feed()
        events = number + 1
        deadline = time.monotonic() + 1.0
        while 0 < reads(pid) - first_reads < events * clients and time.monotonic() < deadline:
            time.sleep(0.001)
    arrive(delivered, first + events * clients, poll_s=0.05)
    return Used(cpu_ns(pids) - used_ns, events * clients, _achieved_hz(events, rate_hz, start_s))


def _achieved_hz(events: int, rate_hz: float, start_s: float) -> float:
    """The last event is due one interval before the window ends: deliveries until then were in time."""
    return events / max(events / rate_hz, time.monotonic() - start_s)


def paced(rate_hz: float, seconds: float) -> Iterator[int]:
    """Yield numbers from 0, each when it is due."""
    start_s = time.monotonic()
    for number in range(max(2, round(rate_hz * seconds))):
        time.sleep(max(0.0, start_s + number / rate_hz - time.monotonic()))
        yield number


def arrive(delivered: Callable[[], int], wanted: int, poll_s: float) -> None:
    """Wait until this many deliveries have arrived.

    Raises:
        FanbenchError: they did not arrive within ARRIVE_S.
    """
    deadline = time.monotonic() + ARRIVE_S
    while (found := delivered()) < wanted:
        if time.monotonic() > deadline:
            raise FanbenchError(f"{wanted - found} deliveries did not come within {ARRIVE_S:g} s")
        time.sleep(poll_s)
