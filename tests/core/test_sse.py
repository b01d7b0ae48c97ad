"""The codec agrees with tables from the standard, and writer and parser agree at every split point."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sse import SSEEvent, SSEParser, encode_comment, encode_event, read_whole

TABLE = [
    ("one line", b"data: hi\n\n", [("message", "hi", "")]),
    ("CR", b"data: hi\r\r", [("message", "hi", "")]),
    ("CRLF", b"data: hi\r\n\r\n", [("message", "hi", "")]),
    ("mixed ends", b"data: a\rdata: b\r\ndata: c\n\n", [("message", "a\nb\nc", "")]),
    ("byte-order mark", b"\xef\xbb\xbfdata: hi\n\n", [("message", "hi", "")]),
    ("a second mark is text", b"\xef\xbb\xbf\xef\xbb\xbfdata: hi\n\n", []),
    ("comment", b": nobody sees this\n\ndata: hi\n\n", [("message", "hi", "")]),
    ("empty data", b"data\n\n", [("message", "", "")]),
    ("empty data with colon", b"data:\n\n", [("message", "", "")]),
    ("two empty data lines", b"data\ndata\n\n", [("message", "\n", "")]),
    ("one space only is taken", b"data:  hi\n\n", [("message", " hi", "")]),
    ("no space", b"data:hi\n\n", [("message", "hi", "")]),
    ("event type", b"event: gap\ndata: x\n\n", [("gap", "x", "")]),
    ("type does not last", b"event: gap\n\ndata: x\n\n", [("message", "x", "")]),
    ("id lasts", b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
    ("id without data lasts", b"id: 1\n\ndata: b\n\n", [("message", "b", "1")]),
    (
        "id is reset by an empty one",
        b"id: 1\ndata: a\n\nid\ndata: b\n\n",
        [("message", "a", "1"), ("message", "b", "")],
    ),
    (
        "id with NUL is ignored",
        b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        [("message", "a", "1"), ("message", "b", "1")],
    ),
    ("unknown field", b"colour: red\ndata: a\n\n", [("message", "a", "")]),
    ("colon in the value", b"data: a:b\n\n", [("message", "a:b", "")]),
    ("unfinished at the end", b"data: a\n\ndata: b\n", [("message", "a", "")]),
    ("not UTF-8", b"data: \xff\n\n", [("message", "\ufffd", "")]),
]


@pytest.mark.parametrize(("wire", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_parser_at_every_split_point(wire, expected):
    expected = [SSEEvent(*event) for event in expected]
    for cut in range(len(wire) + 1):
        parser = SSEParser()
        assert parser.feed(wire[:cut]) + parser.feed(wire[cut:]) == expected, f"cut at {cut}"
    parser = SSEParser()
    assert [event for i in range(len(wire)) for event in parser.feed(wire[i : i + 1])] == expected


def cpu_s(work):
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def test_a_large_event_in_many_pieces_costs_little_more_than_in_one():
    wire = b"data: " + b"x" * (2 << 20) + b"\n\n"

    def feed(piece_bytes):
        parser = SSEParser()
        (event,) = [one for at in range(0, len(wire), piece_bytes) for one in parser.feed(wire[at : at + piece_bytes])]
        assert len(event.data) == 2 << 20

    in_one, in_pieces = (min(cpu_s(lambda size=size: feed(size)) for _ in range(3)) for size in (len(wire), 4096))
    assert in_pieces < 30 * max(in_one, 0.001)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"2000", 2000),
        (b"0", 0),
        (b"-1", None),
        (b"2s", None),
        (b"", None),
        ("٣".encode(), None),
        (b"9" * 5000, None),
    ],
)
def test_retry_takes_digits_only(value, expected):
    parser = SSEParser()
    parser.feed(b"retry: " + value + b"\n\n")
    assert parser.retry_ms == expected


LINE_FREE = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)))
EVENTS = st.lists(
    st.tuples(
        st.text(st.characters(blacklist_categories=("Cs",))),
        st.none() | LINE_FREE,
        st.none() | LINE_FREE.filter(bool),
        st.none() | st.integers(0, 10**6),
    ),
    max_size=5,
)


@given(EVENTS, st.data())
@pytest.mark.slow
def test_the_parser_reads_what_the_writer_writes(events, data):
    wire = encode_comment("open", retry_ms=5)
    expected, last_id = [], ""
    for text, id_, event, retry_ms in events:
        wire += encode_event(text, id=id_, event=event, retry_ms=retry_ms) + encode_comment()
        last_id = last_id if id_ is None else id_
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        expected.append(SSEEvent(event or "message", lines, last_id))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    parser, found = SSEParser(), []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += parser.feed(wire[start:end])
    assert found == expected
    assert parser.last_event_id == last_id
    assert parser.idle


@pytest.mark.parametrize("fields", [{"id": "a\nb"}, {"id": "a\0"}, {"event": "a\rb"}, {"retry_ms": -1}])
def test_writer_refuses_what_a_client_would_misread(fields):
    with pytest.raises(ValueError, match=r"misread|negative"):
        encode_event("x", **fields)


@pytest.mark.parametrize("held", [b"data: a", b"data: a\n", b"event: x\n", b"id: 7\n", b"data: a\r", b"", b"\xef\xbb"])
def test_not_idle_while_anything_is_held_back(held):
    parser = SSEParser()
    parser.feed(held)
    assert not parser.idle


LINES = [b"id: s-1", b"id: s\0", b"id:", b"id: \xff", b"data: x", b"data: {}", b"data:y", b"data", b"data: ", b"event: gap", b"", b": c", b"retry: 5"]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=5), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_the_fast_path_agrees_with_the_parser(lines, end, closed):
    block = end.join(lines) + (end + end if closed else b"")
    found = read_whole(block)
    parser = SSEParser()
    parser.feed(b"\n")
    events = parser.feed(block)
    if found is not None:
        assert (events, parser.idle, parser.last_event_id) == ([found], True, found.id)


def test_frames_of_replicas_take_the_fast_path():
    assert read_whole(encode_event("größe", id="s-1")) == SSEEvent("message", "größe", "s-1")
    assert read_whole(encode_event("x", id="s-1", event="gap")) is None
