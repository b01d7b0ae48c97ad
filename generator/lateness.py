"""How late events were sent: an exact histogram for the report, and buckets for /metrics."""

from __future__ import annotations

from array import array

from core.histogram import Histogram
from core.latency_buckets import LatencyBuckets

_FOLD = 4_096
"""Number of values collected before they are folded into the histogram, about 0.3 ms of work."""


class Lateness:
    """The lateness of each event (sent - due, in nanoseconds), and when the measured phase began and ended."""

    def __init__(self) -> None:
        self.buckets = LatencyBuckets()
        """All events."""
        self.measured = 0
        """Events of the measured phase."""
        self.first_ns = self.last_ns = 0
        """When its first and last event were sent; 0 if there is none."""
        self._histogram = Histogram()
        Histogram().record_ns([0])  # numpy's first call takes 40 ms, which would delay events
        self._values_ns = array("q")

    def note(self, due_ns: int, sent_ns: int, *, measured: bool) -> None:
        """Note one event."""
        self.buckets.add(sent_ns - due_ns)
        if not measured:
            return
        self.measured += 1
        self.first_ns = self.first_ns or sent_ns
        self.last_ns = sent_ns
        self._values_ns.append(sent_ns - due_ns)
        if len(self._values_ns) >= _FOLD:
            self._fold()

    def histogram(self) -> Histogram:
        """The lateness of the measured phase so far."""
        self._fold()
        return self._histogram

    def _fold(self) -> None:
        self._histogram.record_ns(self._values_ns)
        self._values_ns = array("q")
