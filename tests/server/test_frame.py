"""Frames are built once per event, and every client parses them, on every wire."""

import json

from hypothesis import given
from hypothesis import strategies as st

from core.sse import SSEParser
from core.stamp import Stamp, encode
from server.frame import HEARTBEATS, Frame, FrameMaker, Openings, Wire, chunk, count_events, join

SEQS = st.integers(0, 10**17)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def parse(body: bytes) -> list[tuple[str, str, str]]:
    parser = SSEParser()
    events = [(event.event, event.data, event.id) for event in parser.feed(body)]
    assert parser.idle
    return events


def unchunk(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n"
        body, data = body + rest[:length], rest[length + 2 :]
    return body


@given(server=NAMES, topic=NAMES, seq=SEQS, received_ns=SEQS)
def test_an_event_carries_what_was_published_and_what_the_replica_adds(
    server: str, topic: str, seq: int, received_ns: int
) -> None:
    stamp = Stamp("k3f9", seq, topic, "measure", 5, 7)
    payload = encode(stamp, "pad")
    frame = FrameMaker(server).event(stamp, payload, received_ns)
    ((kind, data, id),) = parse(frame.on(Wire.PLAIN))
    assert (kind, id) == ("message", f"k3f9-{seq}")
    assert json.loads(data) == {"server": server, "received_ns": received_ns, **json.loads(payload)}
    assert list(json.loads(data))[:2] == ["server", "received_ns"]
    assert unchunk(frame.on(Wire.CHUNKED)) == frame.on(Wire.PLAIN)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_several_frames_in_one_write_are_the_same_frames(bodies: list[str]) -> None:
    frames = [Frame("t", "s", i, 0, body.encode("utf-8", "surrogatepass")) for i, body in enumerate(bodies)]
    together = b"".join(body.encode("utf-8", "surrogatepass") for body in bodies)
    assert join(frames, Wire.PLAIN) == together
    assert unchunk(join(frames, Wire.CHUNKED)) == together


@given(cause=NAMES, topic=NAMES, lost=st.none() | SEQS)
def test_a_gap_is_a_separate_event_and_keeps_the_last_id(cause: str, topic: str, lost: int | None) -> None:
    parser = SSEParser()
    parser.feed(b"id: k3f9-1\ndata: x\n\n")
    frame = FrameMaker("r").gap(topic, cause, lost, 0)
    (event,) = parser.feed(frame.body)
    assert event.event == "gap"
    assert json.loads(event.data) == {"server": "r", "cause": cause, "lost": lost, "topic": topic}
    assert parser.last_event_id == "k3f9-1"
    assert count_events([frame, Frame("t", "s", 0, 0, b"x")]) == 1


def test_opening_and_heartbeat_show_no_client_anything() -> None:
    parser = SSEParser()
    opening = Openings("replica-1\nevil", 1500).pick(Wire.PLAIN)
    assert parser.feed(opening) == []
    assert parser.retry_ms is not None
    assert 750 <= parser.retry_ms <= 2250
    assert parser.feed(HEARTBEATS[Wire.PLAIN]) == []
    assert parser.idle


def test_a_chunk_is_hexadecimal_length_data_and_line_ends() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
