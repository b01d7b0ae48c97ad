"""The load's work for a delivery: parsing new and repeated bytes, the ledger, the fold."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.events import Events
from core.histogram import Histogram
from core.sse import SSEParser
from load.client_state import DISARMED, ClientState, Counters
from load.feed import Feed
from load.frames import SeriesRegistry
from load.ledger import Series, Track
from load.transport import CHUNKED

DELIVERIES = 10_000


def chunk(events: Events) -> bytes:
    body = b"id: s-1\ndata: %b\n\n" % events.sent_on()
    return b"%x\r\n%b\r\n" % (len(body), body)


def test_parse_an_event_of_100(benchmark: Any) -> None:
    benchmark.extra_info["times"] = 100
    events = Events()
    text = b"".join(b"data: %b\n\n" % events.sent_on() for _ in range(100))
    parser = SSEParser()
    assert len(benchmark(parser.feed, text)) == 100


def test_parse_a_read_seen_for_the_first_time(benchmark: Any) -> None:
    events = Events()
    feed = Feed(SeriesRegistry(), CHUNKED)
    parsed = benchmark.pedantic(feed.parse, setup=lambda: ((chunk(events),), {}), rounds=2_000)
    assert len(parsed.items) == 1


def test_look_up_a_read_seen_before(benchmark: Any) -> None:
    feed, data = Feed(SeriesRegistry(), CHUNKED), chunk(Events())
    parsed = feed.parse(data)
    assert benchmark(feed.get, bytes(bytearray(data))) is parsed


def test_account_for_a_delivery_the_long_way(benchmark: Any) -> None:
    """The reader's hot path does less; this code runs after a reconnect or for reordered events."""
    benchmark.extra_info["times"] = 1_000
    events, feed = Events(), Feed(SeriesRegistry(), CHUNKED)
    items = [feed.parse(chunk(events)).items for _ in range(1_000)]  # type: ignore[union-attr]

    def take() -> ClientState:
        account, track = ClientState("events", Counters()), DISARMED
        for item in items:
            track = account.take(item, 2**62, track)
        return account

    assert sum(track.count() for track in benchmark(take).tracks.values()) == 1_000


def test_track_a_delivery(benchmark: Any) -> None:
    benchmark.extra_info["times"] = DELIVERIES

    def take() -> Track:
        track = Track(Series("s", "events"))
        for seq in range(DELIVERIES):
            track.take(seq)
        return track

    assert benchmark(take).count() == DELIVERIES


def test_record_a_latency_of_10000(benchmark: Any) -> None:
    """Fold in bulk, like the tally."""
    benchmark.extra_info["times"] = DELIVERIES
    latencies_ns = np.random.default_rng(1).lognormal(15, 1, DELIVERIES).astype(np.int64)

    def record() -> Histogram:
        histogram = Histogram()
        histogram.record_ns(latencies_ns)
        return histogram

    assert benchmark(record).count == DELIVERIES
