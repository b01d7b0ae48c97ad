"""A replica's counters: what the broker delivered, what went to clients, what did not, and why."""

from __future__ import annotations

from collections import Counter

from core.contracts.measures import PhaseCounts
from core.latency_buckets import LatencyBuckets
from core.stamp import Stamp

ANY_TOPIC = "*"
MAX_PAIRS = 200_000
"""Streams x topics counted separately; further ones, from a hostile publisher, count as stream `*`."""
CLOSED_TOPICS = 1_000
"""Dropped topics whose counts are kept separately; earlier ones count as topic `*` of their streams."""


class Ledger:
    """Counters that only grow."""

    def __init__(self) -> None:
        self.received: dict[tuple[str, str], list[int]] = {}
        """Events of phases warmup and measure, by (stream, topic)."""
        self.written = 0
        """Frames handed to connections, without heartbeats and gaps."""
        self.dropped = 0
        """Of these, the frames discarded with a slow client."""
        self.gaps = 0
        """Interruptions that the adapter reported."""
        self.gap_lost: Counter[str] = Counter()
        """Events that it reported lost, by topic; `*`: unknown topic."""
        self.holes = 0
        """Events that never arrived although a later one of their stream did."""
        self.replayed = 0
        """Of the written frames, those from history."""
        self.foreign: Counter[str] = Counter()
        self.disconnects: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.connects = 0
        self.opened_topics = 0
        """Topics that were subscribed at the broker, each time."""
        self.closed_topics = 0
        """Topics that were unsubscribed there, each time."""
        self.broker_hop = LatencyBuckets()
        """From sent to received, for each event that the broker did not replay."""
        self.fanout = LatencyBuckets()
        """For each turn of the event loop with events: the time from the first receipt until all were written."""
        self._closed: dict[str, None] = {}
        """Dropped topics, the oldest first."""
        self._streams: dict[str, dict[str, None]] = {}
        """The streams with counts, by topic."""

    def receive(self, stamp: Stamp) -> None:
        """Count an event that the broker delivered."""
        key = (stamp.stream, stamp.topic)
        counts = self.received.get(key)
        if counts is None:
            if len(self.received) >= MAX_PAIRS:
                key = ("*", stamp.topic)
            counts = self.received.setdefault(key, [0, 0])
            self._streams.setdefault(stamp.topic, {})[key[0]] = None
        counts[stamp.phase == "measure"] += 1

    def open_topic(self, name: str) -> None:
        """A topic was added, perhaps again."""
        self.opened_topics += 1
        self._closed.pop(name, None)

    def close_topic(self, name: str) -> None:
        """A topic was dropped."""
        self.closed_topics += 1
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
