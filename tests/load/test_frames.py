"""Bytes become events: shared if the bytes are equal, and right wherever they are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sse import encode_comment, encode_event
from core.stamp import Stamp, encode
from load.feed import Feed
from load.frames import Event, Foreign, GapFrame, SeriesRegistry
from load.transport import CHUNKED, PLAIN


def frame(seq, phase="measure", server="r1"):
    payload = encode(Stamp("k3f9", seq, "events", phase, 10 + seq, 20 + seq), "pad")
    return encode_event(f'{{"server":"{server}","received_ns":{30 + seq},' + payload[1:].decode(), id=f"k3f9-{seq}")


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_the_same_bytes_are_one_event():
    feed = Feed(SeriesRegistry(), CHUNKED)
    data = chunk(frame(7))
    parsed = feed.parse(data)
    assert feed.get(data) is parsed
    (event,) = parsed.items
    assert (event.seq, event.id, event.server, event.measured) == (7, "k3f9-7", "r1", True)
    assert (event.due_ns, event.sent_ns, event.received_ns) == (17, 27, 37)
    assert (parsed.series, parsed.seq, parsed.next_seq) == (event.series, 7, 8)
    parsed.arrived(99)
    assert list(event.arrivals) == [99]


def test_cached_chunks_are_recognized_next_to_others():
    registry = SeriesRegistry()
    feed = Feed(registry, CHUNKED)
    one = feed.parse(chunk(frame(1))).items[0]
    many = feed.parse(chunk(frame(1)) + chunk(frame(2))).items
    assert many[0] is one
    assert [event.seq for event in many] == [1, 2]
    assert [event.seq for event in registry.harvest()] == [1, 2]
    assert registry.harvest() == []


def test_replicas_share_the_series_but_not_the_event():
    feed = Feed(SeriesRegistry(), PLAIN)
    one, two = (feed.parse(frame(1, server=name)).items[0] for name in ("r1", "r2"))
    assert one.series is two.series
    assert one is not two


@pytest.mark.parametrize("dialect", [CHUNKED, PLAIN])
def test_bytes_that_end_within_an_event_are_left_to_the_decoder(dialect):
    registry = SeriesRegistry()
    feed = Feed(registry, dialect)
    data = chunk(frame(1)) + chunk(frame(2)) if dialect is CHUNKED else frame(1) + frame(2)
    ends = {len(data) // 2, len(data)}
    for cut in range(1, len(data)):
        assert (feed.parse(data[:cut]) is not None) == (cut in ends)


@given(st.data())
def test_decoder_gives_the_same_events_wherever_it_is_cut(data):
    wire = (
        chunk(encode_comment("hi", retry_ms=70))
        + chunk(frame(1) + frame(2))
        + chunk(frame(3)[:20])
        + chunk(frame(3)[20:])
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    decoder = Feed(SeriesRegistry(), CHUNKED).decoder()
    parsed = [decoder.feed(wire[a:b]) for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [item.seq for part in parsed for item in part.items] == [1, 2, 3]
    assert parsed[-1].retry_ms == 70
    assert decoder.between
    assert not decoder.ended


def test_a_closed_stream_is_reported():
    decoder = Feed(SeriesRegistry(), CHUNKED).decoder()
    decoder.feed(chunk(frame(1)) + b"0\r\n\r\n")
    assert decoder.ended
    assert not decoder.between


def test_memory_of_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr("load.feed.MAX_CACHE_BYTES", 5_000)
    feed = Feed(SeriesRegistry(), CHUNKED)
    frames = [chunk(frame(seq)) for seq in range(100)]
    for data in frames:
        feed.parse(data)
    known = sum(feed.get(data) is not None for data in frames)
    assert 0 < known * len(frames[0]) <= 5_000


EVENT = json.loads(frame(1).decode().split("data: ")[1])


@pytest.mark.parametrize(
    ("data", "event", "reason"),
    [
        ("no json", None, "not UTF-8 JSON"),
        ("[1]", None, "not a JSON object"),
        (json.dumps(EVENT | {"seq": "7"}), None, "whole numbers"),
        (json.dumps(EVENT | {"phase": "x"}), None, "phase"),
        (json.dumps({k: v for k, v in EVENT.items() if k != "server"}), None, "server and received_ns"),
        (json.dumps(EVENT | {"received_ns": 1.5}), None, "server and received_ns"),
        (json.dumps(EVENT), "other", "event type other"),
        ("no json", "gap", "malformed gap"),
        ("{}", "gap", "malformed gap"),
        ("[]", "gap", "malformed gap"),
    ],
)
def test_foreign_bytes_are_named(data, event, reason):
    (item,) = Feed(SeriesRegistry(), PLAIN).parse(encode_event(data, event=event)).items
    assert isinstance(item, Foreign)
    assert reason in item.reason


def test_gap_frames():
    data = encode_event('{"server":"r1","cause":"overflow","lost":null,"topic":"a"}', event="gap")
    assert Feed(SeriesRegistry(), PLAIN).parse(data).items == (GapFrame("overflow", "a"),)


def test_events_are_events():
    assert isinstance(Feed(SeriesRegistry(), PLAIN).parse(frame(0)).items[0], Event)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('"due_ns":10', '"due_ns":9999999999999999999'),
        ('"sent_ns":20', '"sent_ns":9223372036854775808'),
        ('"received_ns":30', '"received_ns":18446744073709551615'),
        ('"pad":"pad"', '"due_ns":9000000000000000000'),
    ],
)
@pytest.mark.parametrize("remember", [False, True])
def test_an_instant_beyond_64_bits_is_no_event(was, becomes, remember):
    feed = Feed(SeriesRegistry(), CHUNKED, remember=remember)
    data = chunk(frame(0).replace(was.encode(), becomes.encode()))
    read = feed.get(data) or feed.parse(data)
    assert [type(item) for item in read.items] == [Foreign]
