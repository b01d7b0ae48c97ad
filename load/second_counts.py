"""Latencies by second of due time, stored as non-empty histogram buckets: an hour takes a few megabytes, not hundreds.

A latency is a key: its second within its minute times a stride, plus its bucket's index in the histogram; index 0 is
for negative latencies. Adding up many processes means sorting such keys.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.histogram import Histogram

_STRIDE = 1 << 16
_COUNT_BITS = 42
"""Bits of the count: a key, from the start of its minute, and its count share 64 bits, which sort fast."""
_MERGE_AT = 400_000
"""The number of keys of a minute that may wait to be summed: 3.2 MB."""
_HEAD = struct.Struct("<IIB")
"""The head of the encoded form: seconds, keys, bytes of a count."""

Ints = npt.NDArray[np.int64]
Packed = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class SecondOfLatencies:
    """The latencies of one second: `second` of the wall clock, buckets ascending by value."""

    second: int
    negative: int
    indexes: Ints
    counts: Ints

    def histogram(self) -> Histogram:
        """The latencies as a histogram."""
        histogram = Histogram.of_counts(self.indexes, self.counts)
        histogram.negative = self.negative
        return histogram


class _Minute:
    """The keys of one minute with their counts, in parts that are summed when there are many."""

    def __init__(self) -> None:
        self._parts: list[Packed] = []
        self._waiting = 0

    def add(self, packed: Packed) -> None:
        """Add unique keys in ascending order."""
        self._parts.append(packed)
        self._waiting += len(packed)
        if self._waiting > _MERGE_AT:
            self.summed()

    def summed(self) -> Packed:
        """The unique keys in ascending order."""
        if len(self._parts) > 1:
            packed = np.concatenate(self._parts)
            packed.sort(kind="stable")  # runs that are sorted already
            keys, counts = _unpack(packed)
            first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            self._parts = [_pack(keys[first], np.add.reduceat(counts, first))]
        self._waiting = 0
        return self._parts[0]


def _pack(keys: Ints, counts: Ints) -> Packed:
    return (keys.astype(np.uint64) << np.uint64(_COUNT_BITS)) | counts.astype(np.uint64)


def _unpack(packed: Packed) -> tuple[Ints, Ints]:
    keys = (packed >> np.uint64(_COUNT_BITS)).astype(np.int64)
    return keys, (packed & np.uint64((1 << _COUNT_BITS) - 1)).astype(np.int64)


class SecondCounts:
    """How many latencies fell into each bucket in each second."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Minute] = {}

    def add(self, second: int, latencies: Histogram) -> None:
        """Add the latencies of a second."""
        indexes, counts = latencies.filled()
        keys = np.concatenate([[0], indexes + 1]) + second % 60 * _STRIDE
        self._minute(second // 60).add(_pack(keys, np.concatenate([[latencies.negative], counts])))

    def merge(self, other: SecondCounts) -> None:
        """Add the counts of another process."""
        for number, minute in other._minutes.items():
            self._minute(number).add(minute.summed())

    def _minute(self, number: int) -> _Minute:
        return self._minutes.setdefault(number, _Minute())

    def seconds(self) -> Iterator[SecondOfLatencies]:
        """Each second with a latency, in order."""
        for number, minute in sorted(self._minutes.items()):
            keys, counts = _unpack(minute.summed())
            seconds, indexes = keys // _STRIDE, keys % _STRIDE
            starts = [0, *(np.flatnonzero(seconds[1:] != seconds[:-1]) + 1).tolist()]
            for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
                yield SecondOfLatencies(
                    number * 60 + int(seconds[start]),
                    int(counts[start]),
                    indexes[start + 1 : end] - 1,
                    counts[start + 1 : end],
                )

    def encode(self) -> str:
        """Encode as text: `_HEAD`; the seconds in 64 bits; the number of keys of each in 32; their indexes in 16.

        Their counts, each in the bytes that the largest needs. Everything is little endian, deflated, and in base64.
        """
        seconds: list[int] = []
        lengths: list[int] = []
        indexes: list[Ints] = []
        counts: list[Ints] = []
        for one in self.seconds():
            seconds.append(one.second)
            lengths.append(len(one.indexes) + 1)
            indexes.append(np.concatenate([[0], one.indexes + 1]))
            counts.append(np.concatenate([[one.negative], one.counts]))
        all_counts = np.concatenate(counts) if counts else np.empty(0, np.int64)
        width = np.min_scalar_type(int(all_counts.max(initial=0))).itemsize
        packed = _HEAD.pack(len(seconds), sum(lengths), width)
        packed += np.array(seconds, "<i8").tobytes() + np.array(lengths, "<u4").tobytes()
        packed += np.concatenate([np.empty(0, np.int64), *indexes]).astype("<u2").tobytes()
        packed += all_counts.astype(f"<u{width}").tobytes()
        return base64.b64encode(zlib.compress(packed, 1)).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> SecondCounts:
        """Read what `encode` wrote.

        Raises:
            ValueError: the text is something else.
        """
        try:
            packed = zlib.decompress(base64.b64decode(text))
            many, keys, width = _HEAD.unpack_from(packed)
            at = _HEAD.size
            seconds = np.frombuffer(packed, "<i8", many, at)
            lengths = np.frombuffer(packed, "<u4", many, at + 8 * many)
            indexes = np.frombuffer(packed, "<u2", keys, at + 12 * many)
            counts = np.frombuffer(packed, f"<u{width}", keys, at + 12 * many + 2 * keys)
        except (zlib.error, struct.error, TypeError) as error:
            raise ValueError(f"not the latencies of seconds: {error}") from error
        decoded = cls()
        ends = np.cumsum(lengths, dtype=np.int64)
        minutes = seconds // 60
        for minute in np.unique(minutes).tolist():
            of = np.flatnonzero(minutes == minute)
            start, end = int(ends[of[0]]) - int(lengths[of[0]]), int(ends[of[-1]])
            within = np.repeat(seconds[of] % 60 * _STRIDE, lengths[of]) + indexes[start:end]
            decoded._minute(minute).add(_pack(within, counts[start:end].astype(np.int64)))
        return decoded
