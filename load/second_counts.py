"""Latencies by second of due time, kept as the histogram buckets that are not empty: an hour takes megabytes, not hundreds.

A latency is a key: its second times a stride, plus the index of its bucket in the histogram; index 0 is for negative
latencies. Sums of many processes are sorts of such keys.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.histogram import Histogram

_STRIDE = 1 << 16
_MERGE_AT = 100_000
"""Keys of a minute that may wait to be summed: 1.6 MB."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SecondOfLatencies:
    """The latencies of one second: `second` of the wall clock, buckets ascending by value."""

    second: int
    negative: int
    indexes: Ints
    counts: Ints

    def histogram(self) -> Histogram:
        """The same as a histogram."""
        histogram = Histogram.of_counts(self.indexes, self.counts)
        histogram.negative = self.negative
        return histogram


class _Minute:
    """The keys of one minute and their counts, in parts that are summed when they are many."""

    def __init__(self) -> None:
        self._keys: list[Ints] = []
        self._counts: list[Ints] = []
        self._waiting = 0

    def add(self, keys: Ints, counts: Ints) -> None:
        self._keys.append(keys)
        self._counts.append(counts)
        self._waiting += len(keys)
        if self._waiting > _MERGE_AT:
            self.summed()

    def summed(self) -> tuple[Ints, Ints]:
        """Each key once, ascending, and its count."""
        if len(self._keys) > 1:
            keys, counts = np.concatenate(self._keys), np.concatenate(self._counts)
            order = np.argsort(keys, kind="stable")
            keys, counts = keys[order], counts[order]
            first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            self._keys, self._counts = [keys[first]], [np.add.reduceat(counts, first)]
        self._waiting = 0
        return self._keys[0], self._counts[0]


class SecondCounts:
    """How many latencies fell into each bucket in each second."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Minute] = {}

    def add(self, second: int, latencies: Histogram) -> None:
        """Add the latencies of a second."""
        indexes, counts = latencies.filled()
        keys = np.concatenate([[0], indexes + 1]) + second * _STRIDE
        self._minute(second // 60).add(keys, np.concatenate([[latencies.negative], counts]))

    def merge(self, other: SecondCounts) -> None:
        """Add what another process counted."""
        for number, minute in other._minutes.items():
            self._minute(number).add(*minute.summed())

    def _minute(self, number: int) -> _Minute:
        return self._minutes.setdefault(number, _Minute())

    def _summed(self) -> Iterator[tuple[Ints, Ints]]:
        for _, minute in sorted(self._minutes.items()):
            yield minute.summed()

    def seconds(self) -> Iterator[SecondOfLatencies]:
        """Each second in which a latency was counted, in their order."""
        for keys, counts in self._summed():
            seconds = keys // _STRIDE
            starts = [0, *(np.flatnonzero(seconds[1:] != seconds[:-1]) + 1).tolist()]
            for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
                yield SecondOfLatencies(
                    int(seconds[start]),
                    int(counts[start]),
                    keys[start + 1 : end] % _STRIDE - 1,
                    counts[start + 1 : end],
                )

    def encode(self) -> str:
        """As text: the differences of the keys, then the counts, 64 bits each, little endian, deflated, base64."""
        parts = list(self._summed())
        keys = np.concatenate([keys for keys, _ in parts]) if parts else np.empty(0, np.int64)
        packed = np.concatenate([np.diff(keys, prepend=0), *(counts for _, counts in parts)]).astype("<i8").tobytes()
        return base64.b64encode(zlib.compress(packed, 1)).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> SecondCounts:
        """Read what `encode` wrote.

        Raises:
            ValueError: it did not write that.
        """
        try:
            packed = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").astype(np.int64)
        except zlib.error as error:
            raise ValueError(f"not the latencies of seconds: {error}") from error
        differences, counts = packed.reshape(2, -1)
        decoded = cls()
        keys = np.cumsum(differences)
        minutes = keys // (60 * _STRIDE)
        starts = [0, *(np.flatnonzero(minutes[1:] != minutes[:-1]) + 1).tolist()] if len(keys) else []
        for start, end in zip(starts, [*starts[1:], len(keys)] if starts else [], strict=True):
            decoded._minute(int(minutes[start])).add(keys[start:end], counts[start:end])
        return decoded
