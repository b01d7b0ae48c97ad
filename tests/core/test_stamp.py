"""The event as published."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.stamp import Stamp, StampError, decode, encode, new_stream, parse_id

STAMP = Stamp("k3f9", 17, "events", "measure", 1_700_000_000_000_000_000, 1_700_000_000_000_000_001)


def test_wire_form():
    assert encode(STAMP, "xx") == (
        b'{"stream":"k3f9","seq":17,"topic":"events","phase":"measure","due_ns":1700000000000000000,'
        b'"sent_ns":1700000000000000001,"pad":"xx"}'
    )
    assert STAMP.id == "k3f9-17"


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1), st.integers(0, 10**17))
def test_decode_reads_what_encode_wrote(topic, seq):
    stamp = Stamp("k3f9", seq, topic, "warmup", 1, 2)
    assert decode(encode(stamp, "pad")) == stamp
    assert b"\n" not in encode(stamp)


def changed(**fields):
    values = orjson.loads(encode(STAMP)) | fields
    return orjson.dumps({name: value for name, value in values.items() if value is not ...})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[1]", "object"),
        (b"17", "object"),
        (b'{"stream":\n"a"}', "one line"),
        (b"{}", "missing"),
        (changed(seq=-1), "whole numbers"),
        (changed(seq=1.5), "whole numbers"),
        (changed(seq=True), "whole numbers"),
        (changed(due_ns="now"), "whole numbers"),
        (changed(topic=3), "topic"),
        (changed(phase="other"), "phase"),
        (changed(stream="A b"), "stream"),
        (changed(stream=None), "stream"),
        (changed(stream="x" * 33), "stream"),
    ],
)
def test_what_is_not_ours_is_named(payload, reason):
    with pytest.raises(StampError, match=reason):
        decode(payload)


@given(st.binary(max_size=200))
def test_hostile_bytes_never_raise_anything_else(payload):
    with contextlib.suppress(StampError):
        decode(payload)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("k3f9-17", ("k3f9", 17)), ("a-0", ("a", 0)), ("a-01", None), ("-1", None), ("a", None), ("a-1\n", None)]
    + [(text, None) for text in ("A-1", "a-1-", "a--1", "a-1000000000000000000", "é-1", "a-" + "9" * 10_000)],
)
def test_parse_id(text, expected):
    assert parse_id(text) == expected


def test_streams_differ():
    streams = {new_stream() for _ in range(1000)}
    assert len(streams) == 1000
    assert all(parse_id(f"{stream}-0") for stream in streams)
