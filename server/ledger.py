"""What a replica counts: what the broker handed over, what went to clients, and what did not and why."""

from __future__ import annotations

from collections import Counter

from core.contracts.measures import PhaseCounts
from core.latency_buckets import LatencyBuckets
from core.stamp import Stamp

ANY_TOPIC = "*"
MAX_PAIRS = 200_000
"""Streams x topics counted one by one; what a hostile publisher adds beyond that is counted as stream `*`."""
CLOSED_TOPICS = 1_000
"""Topics let go whose counts are kept one by one; those let go before them are counted as topic `*` of their streams."""


class Ledger:
    """Counters that only grow."""

    def __init__(self) -> None:
        self.received: dict[tuple[str, str], list[int]] = {}
        """By (stream, topic): events of phase warmup and of phase measure."""
        self.written = 0
        """Frames handed to connections, heartbeats and gaps not among them."""
        self.dropped = 0
        """Of those, the ones that a slow client's disconnect threw away."""
        self.gaps = 0
        """Interruptions that the adapter told."""
        self.gap_lost: Counter[str] = Counter()
        """Events that it reported lost, by topic; `*`: unknown topic."""
        self.holes = 0
        """Events that never came although a later one of their stream did."""
        self.replayed = 0
        """Of the frames written, those that came from history."""
        self.foreign: Counter[str] = Counter()
        self.disconnects: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.connects = 0
        self.broker_hop = LatencyBuckets()
        """From sent to received, of each event that was not a replay by the broker."""
        self.fanout = LatencyBuckets()
        """Of each turn of the event loop that brought events: from the first one's receipt until all were written."""
        self._closed: dict[str, None] = {}
        """Topics let go, the one let go first ahead."""
        self._streams: dict[str, dict[str, None]] = {}
        """By topic, the streams that it has counts of."""

    def receive(self, stamp: Stamp) -> None:
        """Count an event that the broker handed over."""
        key = (stamp.stream, stamp.topic)
        counts = self.received.get(key)
        if counts is None:
            if len(self.received) >= MAX_PAIRS:
                key = ("*", stamp.topic)
            counts = self.received.setdefault(key, [0, 0])
            self._streams.setdefault(stamp.topic, {})[key[0]] = None
        counts[stamp.phase == "measure"] += 1

    def open_topic(self, name: str) -> None:
        """A topic is kept, perhaps again."""
        self._closed.pop(name, None)

    def close_topic(self, name: str) -> None:
        """A topic was let go."""
        self._closed[name] = None
        if len(self._closed) <= CLOSED_TOPICS:
            return
        oldest = next(iter(self._closed))
        del self._closed[oldest]
        for stream in self._streams.pop(oldest, ()):
            counts = self.received.pop((stream, oldest), None)
            if counts is not None:
                kept = self.received.setdefault((stream, ANY_TOPIC), [0, 0])
                kept[0] += counts[0]
                kept[1] += counts[1]
        lost = self.gap_lost.pop(oldest, 0)
        if lost:
            self.gap_lost[ANY_TOPIC] += lost

    def received_by_stream(self) -> dict[str, dict[str, PhaseCounts]]:
        """`received`, by stream and then by topic."""
        found: dict[str, dict[str, PhaseCounts]] = {}
        for (stream, topic), (warmup, measure) in self.received.items():
            found.setdefault(stream, {})[topic] = PhaseCounts(warmup=warmup, measure=measure)
        return found
