"""A topic's recent events, so that a returning client gets what it missed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from server.frame import Frame
from server.history_index import HistoryIndex

MAX_STREAMS = 256
"""Remembered streams of a topic. A forgotten one counts as unknown, and clients get a gap for it."""
_TRIM_AT = 512
INDEX_IDLE_NS = 60 * 10**9
"""How long an unused index is kept."""


@dataclass(frozen=True, slots=True)
class HistoryBound:
    """The limits of a topic's history."""

    events: int
    size_bytes: int
    age_ns: int


@dataclass(slots=True)
class HistorySpan:
    """The state of one stream on the topic: events with `floor < seq <= last` are held, unless the broker lost them."""

    floor: int
    last: int


class History:
    """The latest frames of one topic in order of arrival, bounded in events, bytes and age.

    A position counts frames since the topic's start, so it stays valid when old ones are discarded.
    """

    __slots__ = (
        "_bound",
        "_disordered",
        "_dropped",
        "_frames",
        "_index",
        "_index_until_ns",
        "_index_used",
        "complete_since_ns",
        "held_bytes",
        "spans",
        "start",
        "total_bytes",
    )

    def __init__(self, bound: HistoryBound, complete_since_ns: int) -> None:
        self._bound = bound
        self._frames: list[Frame] = []
        self._dropped = 0  # at the list's head, trimmed from time to time
        self._index: HistoryIndex | None = None
        self._index_used = False
        self._index_until_ns = 0
        self._disordered = False  # a duplicate or late event, which a broker may send after a reconnect
        self.start = 0
        """Position of the oldest frame."""
        self.held_bytes = 0
        self.total_bytes = 0
        self.spans: dict[str, HistorySpan] = {}
        self.complete_since_ns = complete_since_ns
        """All events sent since this moment (wall clock) are still held."""

    def __len__(self) -> int:
        return len(self._frames) - self._dropped

    @property
    def end(self) -> int:
        """Position of the next frame."""
        return self.start + len(self)

    def append(self, frame: Frame, now_ns: int) -> int:
        """Keep a frame and discard what exceeds the limits; return by how many bytes the history grew (or shrank)."""
        before = self.held_bytes
        size = len(frame.chunk)
        self.total_bytes += size
        frame.total_bytes = self.total_bytes
        self._frames.append(frame)
        self.held_bytes += size
        if frame.stream:
            self._note(frame)
        bound = self._bound
        oldest_ns = now_ns - bound.age_ns  # not by the frame's timestamp, which may be wrong
        frames = self._frames
        while (held := len(frames) - self._dropped) and (
            held > bound.events or self.held_bytes > bound.size_bytes or frames[self._dropped].sent_ns < oldest_ns
        ):
            self._let_go()
        return self.held_bytes - before

    def expire(self, now_ns: int) -> int:
        """Discard frames that are too old; return their bytes."""
        if self._index_used:
            self._index_used, self._index_until_ns = False, now_ns + INDEX_IDLE_NS
        elif now_ns > self._index_until_ns:
            self._index = None
        before = self.held_bytes
        while len(self) and self._frames[self._dropped].sent_ns < now_ns - self._bound.age_ns:
            self._let_go()
        return before - self.held_bytes

    def shrink(self, wanted_bytes: int) -> int:
        """Discard the oldest frames until `wanted_bytes` are free; return their bytes."""
        before = self.held_bytes
        while len(self) and before - self.held_bytes < wanted_bytes:
            self._let_go()
        return before - self.held_bytes

    def _note(self, frame: Frame) -> None:
        span = self.spans.get(frame.stream)
        if span is None:
            if len(self.spans) >= MAX_STREAMS:
                del self.spans[next(iter(self.spans))]
            self.spans[frame.stream] = HistorySpan(frame.seq - 1, frame.seq)
        elif frame.seq > span.last:
            span.last = frame.seq
        else:
            self._disordered = True

    def _let_go(self) -> None:
        frame = self._frames[self._dropped]
        self._dropped += 1
        self.start += 1
        self.held_bytes -= len(frame.chunk)
        if frame.stream:
            self.complete_since_ns = max(self.complete_since_ns, frame.sent_ns + 1)
            span = self.spans.get(frame.stream)
            if span is not None and frame.seq > span.floor:
                span.floor = frame.seq
        if self._dropped >= _TRIM_AT or not len(self):
            del self._frames[: self._dropped]
            self._dropped = 0

    def slice(self, position: int, count: int) -> list[Frame]:
        """Up to `count` frames from `position` on, which must not lie before `start`."""
        first = self._dropped + position - self.start
        return self._frames[first : first + count]

    def walk(self, position: int) -> Iterator[Frame]:
        """Frames from `position` on; valid until something is appended or discarded."""
        for index in range(self._dropped + position - self.start, len(self._frames)):
            yield self._frames[index]

    def find(self, stream: str, seq: int) -> Frame | None:
        """A frame with that id, or None."""
        index = self._guess(stream, seq)
        if index is None:
            span = self.spans.get(stream)
            if span is None or seq > span.last:
                return None
            position = self._indexed().find(stream, seq, self.start)
            index = None if position is None else self._dropped + position - self.start
        return None if index is None else self._frames[index]

    def after(self, stream: str, seq: int) -> int:
        """The position of the first frame of `stream` after `seq`, and the gaps to report before it."""
        guess = None if self._disordered else self._guess(stream, seq)
        if guess is not None:
            index = guess + 1
        else:
            position = self._indexed().first_beyond(stream, seq, self.start)
            index = len(self._frames) if position is None else self._dropped + position - self.start
        while index > self._dropped and self._frames[index - 1].seq < 0:
            index -= 1
        return self.start + index - self._dropped

    def _indexed(self) -> HistoryIndex:
        """The index of every held frame; rebuilt if most of its entries refer to discarded frames."""
        index = self._index
        self._index_used = True
        if index is None or index.end < self.start or index.entries > 2 * len(self) + _TRIM_AT:
            index = self._index = HistoryIndex(self.start)
        index.enter(self.walk(index.end), self.start)
        return index

    def since(self, sent_ns: int) -> int:
        """The position of the first frame sent at or after that moment (wall clock; generators' clocks may differ)."""
        index = bisect_left(self._frames, sent_ns, lo=self._dropped, key=lambda frame: frame.sent_ns)
        return self.start + index - self._dropped

    def count_last(self, size_bytes: int) -> int:
        """How many of the latest frames are, at least in part, in the topic's last `size_bytes` bytes."""
        if size_bytes <= 0 or not len(self):
            return 0
        key = self.total_bytes - size_bytes
        index = bisect_right(self._frames, key, lo=self._dropped, key=lambda frame: frame.total_bytes)
        return len(self._frames) - index

    def _guess(self, stream: str, seq: int) -> int | None:
        """The index of that id if the topic has one stream without holes or duplicates, the usual case."""
        if not len(self):
            return None
        index = len(self._frames) - 1 - (self._frames[-1].seq - seq)
        if self._dropped <= index < len(self._frames) and self._is(self._frames[index], stream, seq):
            return index
        return None

    @staticmethod
    def _is(frame: Frame, stream: str, seq: int) -> bool:
        return frame.seq == seq and frame.stream == stream
