"""The ledger: what each client should have received and what it received, exactly, from the event numbers alone.

This module knows no sockets, clocks or Locust. A `Track` follows one client through one series. The reader's hot path
handles the usual step, `seq == next_seq`, and leaves the rest to `take`.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum
from typing import NamedTuple

from core.contracts.load_result import Cause


class Delivery(Enum):
    """The kind of a delivery for its client."""

    NEW = "new"
    LATE = "late"
    """New, but after a later one: reordered."""
    DOUBLE = "double"


class SeqSpan(NamedTuple):
    """Consecutive missing seqs, both ends included, and their cause."""

    first: int
    last: int
    cause: Cause


class Series:
    """The events of one stream on one topic, as seen by all clients of this process.

    `low_seq` and `high_seq` bound the measured events that anyone got (None before the first).
    """

    __slots__ = ("high_seq", "low_seq", "seen", "stream", "topic")

    def __init__(self, stream: str, topic: str) -> None:
        self.stream = stream
        self.topic = topic
        self.low_seq: int | None = None
        self.high_seq: int | None = None
        self.seen = Track(self)

    def restart(self) -> None:
        """Forget which measured events anyone got; the tracks continue."""
        self.low_seq = self.high_seq = None
        self.seen = Track(self)

    def note(self, seq: int) -> None:
        """Record that a measured event exists."""
        seen = self.seen
        if seq == seen.next_seq and self.high_seq is not None:  # the usual step
            seen.next_seq, self.high_seq = seq + 1, seq
            return
        seen.take(seq)
        self.low_seq = seq if self.low_seq is None else min(seq, self.low_seq)
        self.high_seq = seq if self.high_seq is None else max(seq, self.high_seq)


class Track:
    """What one client received of one series: `first_seq` to `next_seq` - 1 without the `missing` spans."""

    __slots__ = ("cause", "first_seq", "missing", "next_seq", "series")

    def __init__(self, series: Series | None) -> None:
        self.series = series
        self.first_seq = -1
        self.next_seq = -1
        self.missing: list[SeqSpan] | None = None  # ascending; None is the usual case and costs nothing
        self.cause: Cause | None = None  # the cause of a hole before the next event, if already known

    def take(self, seq: int) -> Delivery:
        """Enter one delivery."""
        if self.first_seq < 0:
            self.first_seq = seq
            self.next_seq = seq + 1
            return Delivery.NEW
        if seq >= self.next_seq:
            if seq > self.next_seq:
                self._lack(SeqSpan(self.next_seq, seq - 1, self.cause or Cause.UNEXPLAINED))
            self.next_seq = seq + 1
            self.cause = None
            return Delivery.NEW
        if seq < self.first_seq:
            if seq + 1 < self.first_seq:
                self._lack(SeqSpan(seq + 1, self.first_seq - 1, Cause.UNEXPLAINED))
            self.first_seq = seq
            return Delivery.LATE
        return self._fill(seq)

    def expect(self, cause: Cause) -> None:
        """Set the cause of a hole before the next event in advance; an earlier cause stays."""
        self.cause = self.cause or cause

    def _lack(self, span: SeqSpan) -> None:
        if self.missing is None:
            self.missing = [span]
        elif span.first > self.missing[-1].first:
            self.missing.append(span)
        else:
            self.missing.insert(0, span)

    def _fill(self, seq: int) -> Delivery:
        spans = self.missing or []
        at = bisect_right(spans, seq, key=lambda span: span.first) - 1
        if at < 0 or spans[at].last < seq:
            return Delivery.DOUBLE
        first, last, cause = spans[at]
        spans[at : at + 1] = [
            part for part in (SeqSpan(first, seq - 1, cause), SeqSpan(seq + 1, last, cause)) if part[0] <= part[1]
        ]
        self.missing = spans or None
        return Delivery.LATE

    def behind(self, high_seq: int) -> bool:
        """Whether seqs up to `high_seq` are still to come after the last one."""
        return self.next_seq <= high_seq

    def lost(self, low_seq: int, high_seq: int, tail: Cause | None) -> dict[Cause, int]:
        """Count the missing seqs from `low_seq` to `high_seq`; seqs outside were not measured.

        What is missing after the last event is charged to an already known cause, otherwise to `tail`; with None it does not
        count as missing.
        """
        lost: dict[Cause, int] = {}
        for first, last, cause in self.missing or ():
            count = min(last, high_seq) - max(first, low_seq) + 1
            if count > 0:
                lost[cause] = lost.get(cause, 0) + count
        if tail is not None:
            count = high_seq - max(self.next_seq, low_seq) + 1
            if count > 0:
                cause = self.cause or tail
                lost[cause] = lost.get(cause, 0) + count
        return lost

    def count(self) -> int:
        """The number of distinct seqs."""
        lacking = sum(last - first + 1 for first, last, _ in self.missing or ())
        return self.next_seq - self.first_seq - lacking if self.first_seq >= 0 else 0

    def measured(self) -> int:
        """The number of distinct measured seqs."""
        series = self.series
        if series is None or series.low_seq is None or series.high_seq is None:
            return 0
        lacking = sum(self.lost(series.low_seq, series.high_seq, None).values())
        return max(0, min(self.next_seq - 1, series.high_seq) - max(self.first_seq, series.low_seq) + 1 - lacking)
