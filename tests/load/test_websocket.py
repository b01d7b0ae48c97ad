"""The load's WebSocket with wsproto's server, wherever the bytes are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection, events

from core.endpoint.origin import parse_origin
from core.stamp import Stamp, encode
from load.feed import Feed
from load.frames import Event, Foreign, GapFrame, SeriesRegistry
from load.http1 import Http1Error, split_head
from load.transport import MESSAGES, WEBSOCKET
from load.websocket import MessageFrames, encode_upgrade


def opened():
    """wsproto's server, connected, and the client's side of its answer."""
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(encode_upgrade(parse_origin("http://127.0.0.1:80/x"), "a/b", last_event_id="k-7", token="t0"))
    (request,) = server.events()
    assert request.target == "/x/ws?topic=a%2Fb&last_event_id=k-7"
    assert (b"authorization", b"Bearer t0") in request.extra_headers
    head, rest = split_head(server.send(events.AcceptConnection()))
    assert rest == b""
    return server, head


def message(seq):
    payload = encode(Stamp("k3f9", seq, "events", "measure", 10 + seq, 20 + seq), "pad")
    return '{"server":"r1","received_ns":30,' + payload[1:].decode()


def test_the_handshake_is_checked():
    _, head = opened()
    assert WEBSOCKET.wire_format(head) is MESSAGES
    head.headers["sec-websocket-accept"] = "another"
    with pytest.raises(Http1Error, match="handshake"):
        WEBSOCKET.wire_format(head)


def test_a_refusal_has_its_status():
    head, _ = split_head(b"HTTP/1.1 503 Busy\r\n\r\n")
    with pytest.raises(Http1Error, match="503"):
        WEBSOCKET.wire_format(head)


@given(
    st.lists(st.text() | st.sampled_from(["x" * n for n in (125, 126, 65_535, 65_536)]), max_size=4),
    st.booleans(),
    st.data(),
)
def test_messages_come_whole_wherever_they_are_cut(texts, fragmented, data):
    server, _ = opened()
    wire = b""
    for text in texts:
        half = len(text) // 2 if fragmented else 0
        if half:
            wire += server.send(events.TextMessage(text[:half], message_finished=False))
            wire += server.send(events.Ping(b"between"))
        wire += server.send(events.TextMessage(text[half:]))
    wire += server.send(events.Ping(b"alive")) + server.send(events.CloseConnection(1001))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    frames = MessageFrames()
    parts = [frames.feed(wire[a:b]) for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert [text.decode() for part in parts for text in part] == texts
    assert frames.ended
    assert frames.between
    server.receive_data(frames.reply)
    *pongs, closed = server.events()
    assert [type(pong) for pong in pongs] == [events.Pong] * len(pongs)
    assert bytes(pongs[-1].payload) == b"alive"
    assert (type(closed), closed.code) == (events.CloseConnection, 1001)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x81\x80abcd", "unmasked"),
        (b"\xc1\x01a", "without extensions"),
        (b"\x82\x01a", "opcode 2"),
        (b"\x80\x01a", "out of order"),
        (b"\x01\x01a\x81\x01b", "out of order"),
        (b"\x09\x01a", "control frame"),
        (b"\x89\x7e\x00\x7e" + b"a" * 126, "control frame"),
        (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), "the limit is"),
    ],
)
def test_invalid_server_frames_are_refused(wire, reason):
    with pytest.raises(Http1Error, match=reason):
        MessageFrames().feed(wire)


def text_frame(text):
    server, _ = opened()
    return server.send(events.TextMessage(text))


def test_a_message_is_the_event_that_sse_would_deliver():
    feed = Feed(SeriesRegistry(), MESSAGES)
    data = text_frame(message(7))
    parsed = feed.parse(data)
    assert feed.get(data) is parsed
    (event,) = parsed.items
    assert isinstance(event, Event)
    assert (event.id, event.seq, event.server, event.wire_bytes) == ("k3f9-7", 7, "r1", len(data))
    assert parsed.seq == 7


def test_an_event_with_a_ping_is_answered_and_takes_the_slow_path():
    server, _ = opened()
    data = text_frame(message(1)) + server.send(events.Ping(b"x"))
    parsed = Feed(SeriesRegistry(), MESSAGES).parse(data)
    assert [item.seq for item in parsed.items] == [1]
    assert parsed.reply
    assert parsed.seq == -1


def test_greeting_gap_and_strangers():
    feed = Feed(SeriesRegistry(), MESSAGES)
    greeting = feed.parse(text_frame('{"event":"open","server":"r1","retry_ms":70}'))
    assert (greeting.items, greeting.retry_ms) == ((), 70)
    gap = feed.parse(text_frame('{"event":"gap","server":"r1","cause":"overflow","lost":2,"topic":"a"}'))
    assert gap.items == (GapFrame("overflow", "a"),)
    for text in ("", "x", "[1]", '{"event":"open"}', json.dumps({"stream": "a"}), '{"event":5}'):
        (item,) = feed.parse(text_frame(text)).items
        assert isinstance(item, Foreign)
