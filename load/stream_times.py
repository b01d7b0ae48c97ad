"""What every stream shows, regardless of its events' meaning: first event, gaps between events, silences, bytes, complete answers."""

from __future__ import annotations

from array import array

from core.histogram import Histogram


class StreamTimes:
    """Figures over this process's clients since the last `restart`; durations in nanoseconds, folded by `fold`."""

    __slots__ = (
        "answer",
        "answer_ns",
        "first",
        "first_ns",
        "from_ns",
        "gap",
        "gap_ns",
        "opened",
        "received_bytes",
        "redirects",
        "whole",
    )

    def __init__(self, from_ns: int = 0) -> None:
        self.restart(from_ns)

    def restart(self, from_ns: int) -> None:
        """Forget what was noted, and what is folded before that instant."""
        self.from_ns = from_ns
        self.first, self.gap, self.answer = Histogram(), Histogram(), Histogram()
        self.first_ns, self.gap_ns, self.answer_ns = array("q"), array("q"), array("q")
        self.opened = self.whole = self.redirects = self.received_bytes = 0

    def drop(self) -> None:
        """Forget what was noted since the last call, unfolded."""
        for noted in (self.first_ns, self.gap_ns, self.answer_ns):
            del noted[:]

    def fold(self, now_ns: int) -> None:
        """Enter what was noted since the last call."""
        if now_ns < self.from_ns:
            self.restart(self.from_ns)
            return
        for histogram, noted in ((self.first, self.first_ns), (self.gap, self.gap_ns), (self.answer, self.answer_ns)):
            histogram.record_ns(noted)
            del noted[:]


class StreamNotes:
    """One client's notes. A silence is the longest time within a connection without an event."""

    __slots__ = ("_from_ns", "_times", "began_ns", "fresh", "longest_ns", "since_ns")

    def __init__(self, times: StreamTimes) -> None:
        self._times = times
        self._from_ns = times.from_ns
        self.began_ns = 0
        self.since_ns = 0
        """When the last event arrived on this connection, or its head; 0 without a connection."""
        self.longest_ns = 0
        self.fresh = True
        """Whether the first event of this connection is still to come."""

    def opened(self, began_ns: int, now_ns: int) -> None:
        """Note that a stream begins; the client began to connect at `began_ns`."""
        self._times.opened += 1
        self.began_ns, self.since_ns, self.fresh = began_ns, now_ns, True

    def heard(self, count: int, now_ns: int) -> None:
        """Note the number of events in one read."""
        self.quiet_until(now_ns)
        if self.fresh:
            self._times.first_ns.append(now_ns - self.began_ns)
            self.fresh = False
        else:
            self._times.gap_ns.append(now_ns - self.since_ns)
        if count > 1:
            self._times.gap_ns.extend([0] * (count - 1))
        self.since_ns = now_ns

    def quiet_until(self, now_ns: int) -> None:
        """Note a silence until now."""
        if self.since_ns:  # an earlier time, of an end that was noticed late, changes nothing
            self.longest_ns = max(self.longest_ns, now_ns - max(self.since_ns, self._from_ns))

    def closed(self, now_ns: int) -> None:
        """The stream is over."""
        self.quiet_until(now_ns)
        self.since_ns = 0

    def completed(self, now_ns: int) -> None:
        """Note a complete answer; `closed` follows."""
        self._times.whole += 1
        self._times.answer_ns.append(now_ns - self.began_ns)

    def restart(self, from_ns: int) -> None:
        """Count silences from that instant."""
        self.longest_ns, self._from_ns = 0, from_ns
