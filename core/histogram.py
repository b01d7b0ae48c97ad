"""HDR histograms of latencies, filled in bulk with numpy, merged and never averaged.

The library takes about 780 ns to record one value; folding an array takes about 90 ns a value.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from core.contracts.measures import Percentiles

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_FIGURES = 3

_SUB_BUCKETS = 2048  # the power of two that gives three significant figures
_HALF = _SUB_BUCKETS // 2
_HEADER_BYTES = 8
"""The header before the compressed part: a cookie and a length."""
_MOST_BYTES = 1024 * 1024
"""The limit after decompression: 24,000 counts of at most nine bytes are 216,000."""


def _new() -> HdrHistogram:
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_FIGURES)


def _bounds() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each counts index, the lowest value in microseconds and the number of values that it covers."""
    index = np.arange(_new().counts_len, dtype=np.int64)
    bucket = np.maximum((index >> 10) - 1, 0)
    return (index - bucket * _HALF) << bucket, np.int64(1) << bucket


_LOWEST_US, _WIDTH_US = _bounds()


def index_values_ms() -> npt.NDArray[np.float64]:
    """The value in milliseconds that represents each counts index: the highest that it covers."""
    return (_LOWEST_US + _WIDTH_US - 1) / 1000


def _indexes(values_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """HdrHistogram's counts index of each value: its `_counts_index_for` for whole arrays."""
    # frexp gives the bit length exactly for values below 2^53.
    bits = np.frexp(np.maximum(values_us, _SUB_BUCKETS - 1).astype(np.float64))[1].astype(np.int64)
    bucket = bits - 11
    return bucket * _HALF + (values_us >> bucket)


def _require_small(text: str) -> None:
    """Limit the size: a histogram has a few kilobytes, but a hostile megabyte can decompress to a gigabyte of zeros.

    Raises:
        ValueError: it is larger than a full histogram.
    """
    packed = base64.b64decode(text)[_HEADER_BYTES:]
    unpacked = zlib.decompressobj().decompress(packed, _MOST_BYTES)
    if len(unpacked) >= _MOST_BYTES:
        raise ValueError(f"it unpacks to over {_MOST_BYTES} bytes")


class Histogram:
    """Latencies in microseconds from 0 to one hour at three significant figures.

    `negative` counts values below 0: they are not in the percentiles, but they make a run invalid. Values above an hour
    are recorded as one hour, and `over` counts them.
    """

    __slots__ = ("_hdr", "negative", "over")

    def __init__(self) -> None:
        self._hdr = _new()
        self.negative = 0
        self.over = 0

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle it for another process; the counts of hdrh are an array of ctypes, which cannot be pickled."""
        extremes = int(self._hdr.min_value), int(self._hdr.max_value)
        return Histogram._restored, (*self.filled(), *extremes, self.negative, self.over)

    @classmethod
    def _restored(
        cls,
        indexes: npt.NDArray[np.int64],
        counts: npt.NDArray[np.int64],
        low_us: int,
        high_us: int,
        negative: int,
        over: int,
    ) -> Histogram:
        histogram = cls()
        every = np.zeros(len(_LOWEST_US), np.int64)
        every[indexes] = counts
        histogram._add(every, low_us, high_us)
        histogram.negative, histogram.over = negative, over
        return histogram

    @property
    def count(self) -> int:
        """How many values were recorded, without negative ones."""
        return int(self._hdr.total_count)

    def record_ns(self, values_ns: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> None:
        """Record an array of durations in nanoseconds, each `weights` times (default once)."""
        values = np.asarray(values_ns, dtype=np.int64).ravel()
        if values.size == 0:
            return
        times = np.ones(values.size, np.int64) if weights is None else np.asarray(weights, dtype=np.int64).ravel()
        below = values < 0
        if below.any():
            self.negative += int(times[below].sum())
            values, times = values[~below], times[~below]
            if values.size == 0:
                return
        us = values // 1000
        self.over += int(times[us > HIGHEST_US].sum())
        us = np.minimum(us, HIGHEST_US)
        counts = np.bincount(_indexes(us), weights=times, minlength=self._hdr.counts_len).astype(np.int64)
        self._add(counts, int(us.min()), int(us.max()))

    def merge(self, other: Histogram) -> None:
        """Add the other histogram's counts to this one."""
        self.negative += other.negative
        self.over += other.over
        if other.count:
            self._add(other.counts(), int(other._hdr.min_value), int(other._hdr.max_value))

    def counts(self) -> npt.NDArray[np.int64]:
        """The count at each index of the HDR layout, as a copy."""
        return np.array(np.frombuffer(self._hdr.counts, dtype=np.int64))

    def filled(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The non-empty indexes of the HDR layout, ascending, and their counts."""
        counts = np.frombuffer(self._hdr.counts, dtype=np.int64)
        indexes = np.flatnonzero(counts)
        return indexes, counts[indexes]

    @classmethod
    def of_counts(cls, indexes: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Histogram:
        """The histogram for which `filled` returns these."""
        histogram = cls()
        if len(indexes):
            every = np.zeros(len(_LOWEST_US), np.int64)
            every[indexes] = counts
            last = indexes[-1]
            histogram._add(every, int(_LOWEST_US[indexes[0]]), int(_LOWEST_US[last] + _WIDTH_US[last] - 1))
        return histogram

    def _add(self, counts: npt.NDArray[np.int64], low_us: int, high_us: int) -> None:
        np.frombuffer(self._hdr.counts, dtype=np.int64)[:] += counts
        self._hdr.total_count += int(counts.sum())
        self._hdr.min_value = min(self._hdr.min_value, low_us)
        self._hdr.max_value = max(self._hdr.max_value, high_us)

    def percentile_ms(self, percentile: float) -> float:
        """The percentile in milliseconds; 0 if there are no values."""
        return self.curve_ms([percentile])[0]

    def max_ms(self) -> float:
        """The largest value in milliseconds, at the histogram's precision; 0 when empty."""
        return float(self._hdr.get_max_value()) / 1000 if self.count else 0.0

    def mean_ms(self) -> float:
        """The mean in milliseconds, at the histogram's precision; 0 when empty."""
        if not self.count:
            return 0.0
        return float(np.dot(self.counts(), _LOWEST_US + _WIDTH_US // 2)) / self.count / 1000

    def summary_ms(self) -> Percentiles:
        """The usual percentiles in milliseconds."""
        p50, p90, p99, p999 = self.curve_ms([50, 90, 99, 99.9])
        return Percentiles(p50=p50, p90=p90, p99=p99, p999=p999, max=self.max_ms())

    def curve_ms(self, percentiles: Sequence[float]) -> list[float]:
        """The value in milliseconds at each percentile: the library's result, 1,000 times as fast."""
        if not self.count:
            return [0.0] * len(percentiles)
        wanted = np.maximum((np.asarray(percentiles, dtype=np.float64) * self.count / 100 + 0.5).astype(np.int64), 1)
        index = np.searchsorted(np.cumsum(self.counts()), wanted)
        return [float(us) / 1000 for us in _LOWEST_US[index] + _WIDTH_US[index] - 1]

    def percentile_distribution(self) -> str:
        """The text of an `.hgrm` file: value in milliseconds, percentile, total count and 1 / (1 - percentile) of each step."""
        text = io.BytesIO()
        self._hdr.output_percentile_distribution(text, 1000)
        return text.getvalue().decode("ascii")

    def encode(self) -> str:
        """HDR V2 compressed, base64. `negative` and `over` are not part of that format."""
        return str(self._hdr.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read what `encode` wrote.

        Raises:
            ValueError: not an HDR V2 histogram with this module's range and precision.
        """
        histogram = cls()
        try:
            _require_small(text)
            histogram._hdr.decode_and_add(text.encode("ascii"))
        except Exception as error:  # the library raises several types of its own, and zlib's
            raise ValueError(f"not an HDR V2 histogram of microseconds up to an hour: {error}") from error
        return histogram
