"""Readers share caches: a topic's first client caches nothing, all others read the cache."""

from core.sse import encode_event
from core.stamp import Stamp, encode
from load.client_state import Counters
from load.connection_pool import ConnectionPool
from load.frames import SeriesRegistry
from load.transport import PLAIN, SSE


def frame(seq):
    payload = encode(Stamp("k3f9", seq, "a", "measure", 10, 20))
    return encode_event('{"server":"r","received_ns":30,' + payload[1:].decode(), id=f"k3f9-{seq}")


def test_only_what_several_clients_get_is_remembered():
    pool = ConnectionPool(
        loop=None,
        addresses=[],
        transport=SSE,
        registry=SeriesRegistry(),
        counters=Counters(),
        on_connect=lambda took_ns, failure: None,
        on_break=lambda reason: None,
    )
    first, second, third = (pool.feed(PLAIN, "r", "a") for _ in range(3))
    assert second is third
    assert pool.feed(PLAIN, "other", "a") is first, "alone at its server"
    for feed in (first, second):
        assert feed.parse(frame(0)).seq == 0
    assert first.get(frame(0)) is None
    assert third.get(frame(0)).seq == 0
