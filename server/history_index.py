"""Finds an id in a topic's history by hash and bisection; built on first use.

A topic with one stream does not need it: its ids give the position. If several streams share a topic, each id of a
resuming client would otherwise need a walk over every frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from server.frame import Frame


class HistoryIndex:
    """Positions of frames by id. Discarded frames stay until it is rebuilt."""

    __slots__ = ("_by_id", "_maxima", "_places", "end", "entries")

    def __init__(self, start: int) -> None:
        self.end = start
        """Position of the next frame to enter."""
        self.entries = 0
        self._by_id: dict[tuple[str, int], int] = {}
        self._maxima: dict[str, list[int]] = {}
        """For each stream, the highest seq up to each of its frames, which never decreases, whatever their order."""
        self._places: dict[str, list[int]] = {}
        """For each stream, the position of each of its frames."""

    def enter(self, frames: Iterable[Frame], start: int) -> None:
        """Add these frames, which begin at `end`; `start` is the position of the oldest held frame."""
        for position, frame in enumerate(frames, start=self.end):
            self.end = position + 1
            self.entries += 1
            if frame.seq < 0:
                continue
            if self._by_id.get((frame.stream, frame.seq), -1) < start:
                self._by_id[frame.stream, frame.seq] = position
            maxima = self._maxima.setdefault(frame.stream, [])
            maxima.append(max(frame.seq, maxima[-1]) if maxima else frame.seq)
            self._places.setdefault(frame.stream, []).append(position)

    def find(self, stream: str, seq: int, start: int) -> int | None:
        """The position of a held frame with that id."""
        position = self._by_id.get((stream, seq), -1)
        return position if position >= start else None

    def first_beyond(self, stream: str, seq: int, start: int) -> int | None:
        """The position of the first held frame of `stream` beyond `seq`."""
        maxima = self._maxima.get(stream)
        if maxima is None:
            return None
        places = self._places[stream]
        at = max(bisect_right(maxima, seq), bisect_right(places, start - 1))
        return places[at] if at < len(places) else None
