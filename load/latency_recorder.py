"""Folds deliveries into histograms in bulk, a few times a second."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from time import time_ns
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.contracts.measures import Span
from core.histogram import Histogram
from load.clock_correction import ClockCorrection, Shifts
from load.frames import Event, Times
from load.ledger import Series
from load.second_counts import SecondCounts
from load.worker_result import SpanName

OPEN_SECONDS = 5
"""A second of due time stays open for this long, then only its buckets that are not empty are kept."""

_SECOND_NS = 1_000_000_000
_SPANS: tuple[SpanName, ...] = ("schedule", "broker", "fanout", "since_sent", "connect", "turn", "downtime")


class Folded(NamedTuple):
    """The deliveries of a period, for Locust's table."""

    latency_ns: npt.NDArray[np.int64]
    """The latencies of the deliveries with a time."""
    untimed: int
    """The number of deliveries without a time."""
    content_bytes: int
    """The total size of all deliveries."""
    first_ns: Sequence[int] = ()
    """At an endpoint: the time from the first SYN to the first event, for each stream that got one."""
    gap_ns: Sequence[int] = ()
    """At an endpoint: the time between an event and the one before it on the same connection."""


class LatencyRecorder:
    """The histograms of one process. Each delivery counts once in each hop and once in its server's latency."""

    def __init__(self, clocks: ClockCorrection | None = None) -> None:
        self._clocks = clocks or ClockCorrection()
        self.spans: dict[SpanName, Histogram] = {name: Histogram() for name in _SPANS}
        self.servers: dict[str, Histogram] = {}
        self.seconds = SecondCounts()
        """Each second of due time, once it is closed."""
        self.deliveries = 0
        self.told: Counter[Times] = Counter()
        """Deliveries by the instants that their events have."""
        self.unidentified = 0
        """Deliveries of events without identity."""
        self.sized = 0
        """Deliveries with known size; `wire_bytes` is their total."""
        self.wire_bytes = 0
        self.first_due_ns: int | None = None
        self.last_arrival_ns = 0
        """By the generator's clock, like `first_due_ns`."""
        self.last_heard_ns = 0
        """The same by this process's clock."""
        self._open: dict[int, Histogram] = {}

    def fold(self, events: Sequence[Event]) -> npt.NDArray[np.int64]:
        """Take the arrivals from the events, each of which is passed once.

        Return the latencies in nanoseconds of those with a time.
        """
        measured = [event for event in events if event.measured]
        bystanders_ns = self._fold([(event, event.arrivals) for event in measured if event.arrivals])
        if "bystanders" in self.spans:
            self.spans["bystanders"].record_ns(bystanders_ns)
        others = [(event, event.aside) for event in measured if event.aside is not None]
        return np.concatenate([bystanders_ns, self._fold(others)]) if others else bystanders_ns

    def _fold(self, due: Sequence[tuple[Event, array[int]]]) -> npt.NDArray[np.int64]:
        alike = {times: [one for one in due if one[0].times is times] for times in Times}
        folded = [self._fold_alike(times, some) for times, some in alike.items() if some]
        return np.concatenate(folded) if folded else np.empty(0, np.int64)

    def _fold_alike(self, times: Times, due: Sequence[tuple[Event, array[int]]]) -> npt.NDArray[np.int64]:
        """Events with the same instants; each span gets those that they have."""
        counts = np.array([len(arrivals) for _, arrivals in due])
        stamps = np.array([(event.due_ns, event.sent_ns, event.received_ns) for event, _ in due], np.int64)
        arrived_ns = np.frombuffer(b"".join(arrivals for _, arrivals in due), np.int64)
        self.last_heard_ns = max(self.last_heard_ns, int(arrived_ns.max()))
        first_ns, last_ns, seconds = int(stamps[:, 0].min()), int(arrived_ns.max()), stamps[:, 0] // _SECOND_NS
        if times is Times.ALL and (shifts := self._shifts(due, counts, int(arrived_ns.min()))) is not None:
            stamps -= np.column_stack([shifts.generator_ns, shifts.generator_ns, shifts.server_ns])
            last_ns += int(shifts.generator_ns[-1])  # by the generator's clock, like the first due instant
        due_ns, sent_ns, received_ns = stamps.T
        latency_ns: npt.NDArray[np.int64] = arrived_ns - np.repeat(due_ns, counts)
        if times is Times.SENT:
            latency_ns = arrived_ns - np.repeat(sent_ns, counts)
        negative = self._negative()
        if times is Times.ALL:
            self.spans["broker"].record_ns(received_ns - sent_ns, counts)
            self.spans["fanout"].record_ns(arrived_ns - np.repeat(received_ns, counts))
        if times in (Times.ALL, Times.DUE):
            self.spans["schedule"].record_ns(sent_ns - due_ns, counts)
            self.spans["since_sent"].record_ns(arrived_ns - np.repeat(sent_ns, counts))
        if times is Times.ALL and self._negative() > negative:
            self._note_lowest(stamps, arrived_ns, counts)
        if times is not Times.NONE:
            self._by_server([event.server for event, _ in due], counts, latency_ns)
            self._by_second(np.repeat(seconds, counts), latency_ns)
        self.deliveries += len(latency_ns)
        self.told[times] += len(latency_ns)
        self.unidentified += int(counts[[event.seq < 0 for event, _ in due]].sum())
        sizes = np.array([event.wire_bytes for event, _ in due])
        self.sized += int(counts[sizes > 0].sum())
        self.wire_bytes += int((counts * sizes).sum())
        self.first_due_ns = first_ns if self.first_due_ns is None else min(first_ns, self.first_due_ns)
        self.last_arrival_ns = max(self.last_arrival_ns, last_ns)
        return latency_ns if times is not Times.NONE else np.empty(0, np.int64)

    def _shifts(
        self, due: Sequence[tuple[Event, array[int]]], counts: npt.NDArray[np.int64], oldest_ns: int
    ) -> Shifts | None:
        return self._clocks.shifts([event for event, _ in due], counts, time_ns(), oldest_ns)

    def _negative(self) -> int:
        return sum(self.spans[name].negative for name in ("broker", "fanout", "since_sent"))

    def _note_lowest(
        self, stamps: npt.NDArray[np.int64], arrived_ns: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
    ) -> None:
        """The lowest values of negative hops, which the histograms do not contain."""
        tally = self._clocks.tally
        tally.note_lowest("broker", int((stamps[:, 2] - stamps[:, 1]).min()))
        spans: tuple[tuple[Span, int], ...] = (("fanout", 2), ("latency", 0))
        for span, column in spans:
            tally.note_lowest(span, int((arrived_ns - np.repeat(stamps[:, column], counts)).min()))

    def tell_bystanders_apart(self) -> None:
        """Also count, from now on, the deliveries to clients without a fault.

        `before` is the latency of all clients until then, for comparison.
        """
        if "bystanders" not in self.spans:
            self.spans["bystanders"] = Histogram()
            before = self.spans["before"] = Histogram()
            for latency in self.servers.values():
                before.merge(latency)

    def _by_server(self, names: list[str], counts: npt.NDArray[np.int64], latency_ns: npt.NDArray[np.int64]) -> None:
        number = {name: at for at, name in enumerate(sorted(set(names)))}
        which = np.repeat(np.array([number[name] for name in names]), counts)
        for name, at in number.items():
            self.servers.setdefault(name, Histogram()).record_ns(latency_ns[which == at])

    def _by_second(self, seconds: npt.NDArray[np.int64], latency_ns: npt.NDArray[np.int64]) -> None:
        for second in np.unique(seconds).tolist():
            self._open.setdefault(second, Histogram()).record_ns(latency_ns[seconds == second])
        self._close(max(self._open) - OPEN_SECONDS)

    def _close(self, until: int) -> None:
        for second in [second for second in self._open if second <= until]:
            self.seconds.add(second, self._open.pop(second))

    def close(self) -> None:
        """Close all seconds."""
        self._close(max(self._open, default=0))


def rehearse() -> None:
    """Fold one made-up event and forget it: the first use of numpy and HDR takes 40 ms, and would count as latency."""
    event = Event(Series("rehearsal", ""), 0, True, "", "")
    event.arrived(0)
    recorder = LatencyRecorder()
    recorder.fold([event])
    recorder.close()
