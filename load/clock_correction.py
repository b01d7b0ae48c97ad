"""Converts the instants of events to this process's own clock, and tracks how exactly it is known."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from time import time_ns
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.clock import MAX_STEP_NS, ClockWatch
from core.clock_offset import SAME, OffsetInterval
from core.host_clock import ClockMark, HostClock, mark_text
from load.clock_tally import ClockTally
from load.clocks import KnownClocks
from load.frames import ClocksAhead, Event

GENERATOR = "the generator"
Ints = npt.NDArray[np.int64]


class Shifts(NamedTuple):
    """How far each event's instants are ahead of this process's clock, in nanoseconds."""

    generator_ns: Ints
    server_ns: Ints


class _Pair(NamedTuple):
    """A replica and a generator; None for a clock that is not known."""

    server: OffsetInterval | None
    generator: OffsetInterval | None
    one: bool
    """Whether both read the same clock."""


class ClockCorrection:
    """The clocks of one process during a test."""

    def __init__(self) -> None:
        self.known = KnownClocks(HostClock.read())
        self.tally = ClockTally()
        self._watch = ClockWatch()
        self._generators: dict[tuple[str, str], HostClock] = {}
        """The clock of each stream's generator on each host, according to its first mark: shares of one schedule may come from several hosts."""
        self._last_marks: dict[str, ClockMark] = {}
        """By host."""
        self._unknown_orders = False
        self._last_due: tuple[str | None, int] = (None, 0)
        """The content of the event that was corrected last, and by how much."""

    def restart(self) -> None:
        """Restart the measurement."""
        self.tally = ClockTally()
        self._watch = ClockWatch()
        self._generators.clear()
        self.known.forgive()

    def shifts(self, events: Sequence[Event], counts: Ints, now_ns: int, oldest_ns: int) -> Shifts | None:
        """Return the corrections for these events, delivered to that many clients since `oldest_ns`; None if there is only one clock."""
        firsts: dict[tuple[str, str], int] = {}
        texts: dict[str, str] = {}  # many events carry the same
        which = []
        for at, event in enumerate(events):
            text = texts.get(event.content)
            if text is None:
                text = texts[event.content] = mark_text(event.content)
            which.append(firsts.setdefault((event.server, text), at))
        reach_ns = max(0, now_ns - oldest_ns)
        pairs = {at: self._pair(events[at], text, now_ns, reach_ns) for (_, text), at in firsts.items()}
        if all(pair.server is SAME and pair.generator is SAME for pair in pairs.values()):
            return None
        deliveries = np.bincount(which, weights=counts)
        generator_ns, server_ns = np.zeros(len(events), np.int64), np.zeros(len(events), np.int64)
        for at, pair in pairs.items():
            self._note(pair, events[at].server, int(deliveries[at]))
            generator_ns[at] = pair.generator.ns if pair.generator is not None else 0
            server_ns[at] = pair.server.ns if pair.server is not None else 0
        shifts = Shifts(generator_ns[which], server_ns[which])
        for at, event in enumerate(events):
            if event.ahead is not None:
                shifts.generator_ns[at], shifts.server_ns[at] = event.ahead
        return shifts

    def ahead(self, event: Event, now_ns: int) -> ClocksAhead | None:
        """Return how far the clocks of its instants are ahead of ours; None if one of them is not known."""
        pair = self._pair(event, mark_text(event.content), now_ns, 0)
        if pair.server is None or pair.generator is None:
            return None
        return ClocksAhead(pair.generator.ns, pair.server.ns)

    def due_ns(self, event: Event) -> int:
        """Return when the event was due by our clock; as it is if its generator's clock is not known."""
        content, ahead_ns = self._last_due
        if event.content is not content:  # many clients get the same event
            ahead = self.known.generator_ahead(ClockMark.parse(mark_text(event.content)), time_ns())
            ahead_ns = ahead.ns if ahead is not None else 0
            self._last_due = event.content, ahead_ns
        return event.due_ns - ahead_ns

    def received_ns(self, event: Event) -> int:
        """Return when the replica received it by our clock; as it is if the replica's clock is not known."""
        replica = self.known.replicas.get(event.server)
        ahead = replica.ahead(time_ns()) if replica is not None else None
        return event.received_ns - (ahead.ns if ahead is not None else 0)

    def orders_ahead_ns(self, mark: str) -> int:
        """Return how far the clock with this mark, by which orders are given, is ahead of ours; 0 where nothing is compared."""
        ahead = self.known.generator_ahead(ClockMark.parse(mark_text(mark)), time_ns())
        if ahead is None:
            self._unknown_orders = not self.known.nothing_to_compare
            return 0
        return ahead.ns

    def _pair(self, event: Event, text: str, now_ns: int, reach_ns: int) -> _Pair:
        mark = ClockMark.parse(text)
        replica = self.known.replicas.get(event.server)
        generator = self.known.generator_ahead(mark, now_ns, reach_ns)
        if mark is not None:
            self._look_at(event.series.stream, mark)
        if replica is None:
            return _Pair(SAME if self.known.nothing_to_compare else None, generator, one=False)
        one = mark is not None and replica.clock is not None and mark.clock.is_same(replica.clock)
        return _Pair(replica.ahead(now_ns, reach_ns), generator, one)

    def _look_at(self, stream: str, mark: ClockMark) -> None:
        self._last_marks[mark.clock.host] = mark
        known = self._generators.setdefault((stream, mark.clock.host), mark.clock)
        step_ns = mark.clock.boot_ns - known.boot_ns
        if abs(step_ns) > MAX_STEP_NS:
            self.tally.note_set(GENERATOR, step_ns)

    def _note(self, pair: _Pair, server: str, deliveries: int) -> None:
        tally = self.tally
        if pair.server is None:
            tally.uncompared[server] += deliveries
        else:
            tally.note_bound("fanout", pair.server.bound_ns)
        if pair.generator is None:
            tally.unknown_generator += deliveries
        else:
            tally.note_bound("latency", pair.generator.bound_ns)
        if pair.server is not None and pair.generator is not None:
            tally.note_bound("broker", 0 if pair.one else pair.server.bound_ns + pair.generator.bound_ns)

    def look(self) -> None:
        """Detect clocks that were set; call it often."""
        self._watch.look()
        if abs(self._watch.farthest_ns) > MAX_STEP_NS:
            self.tally.note_set(socket.gethostname(), self._watch.farthest_ns)
        for name in self.known.stepped():
            self.tally.note_set(name, 0)

    def finish(self, now_ns: int) -> ClockTally:
        """Return the findings, and the current offsets."""
        self.look()
        tally, known = self.tally, self.known
        tally.unknown_orders = self._unknown_orders
        for name, replica in known.replicas.items():
            if replica.one:  # earlier deliveries needed no correction
                tally.uncompared.pop(name, None)
        if known.replicas:
            tally.reference = min(known.replicas)
            ahead = known.offsets(now_ns)
            if tally.reference in ahead:
                tally.offsets = self._against(ahead.pop(tally.reference), ahead, now_ns)
        return tally

    def _against(
        self, reference: OffsetInterval, ahead: dict[str, OffsetInterval], now_ns: int
    ) -> dict[str, OffsetInterval]:
        """The offsets of the other clocks from the reference."""
        known = dict(ahead) | {socket.gethostname(): SAME}
        for host, mark in sorted(self._last_marks.items()):
            generator = self.known.generator_ahead(mark, now_ns)
            if generator is not None:
                known[GENERATOR if len(self._last_marks) == 1 else f"{GENERATOR} on host {host}"] = generator
        return {name: one.minus(reference) for name, one in known.items() if not (one is SAME and reference is SAME)}
