"""The event as published."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.stamp import (
    COMPACT_BYTES,
    Stamp,
    StampError,
    decode,
    encode,
    encode_compact,
    new_stream,
    parse_id,
    pass_on_compact,
    read_passed_on,
    read_received,
)

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
        (changed(due_ns=2**63), "whole numbers"),
        (changed(sent_ns=9 * 10**18), "whole numbers"),
        (changed(topic=3), "topic"),
        (changed(phase="other"), "phase"),
        (changed(stream="A b"), "stream"),
        (changed(stream=None), "stream"),
        (changed(stream="x" * 33), "stream"),
    ],
)
def test_foreign_bytes_are_named(payload, reason):
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


def test_compact_wire_form():
    stamp = Stamp("k3f9", 17, "t", "measure", 1_700_000_000_000_000_999, 1_700_000_000_001_000_001)
    published = encode_compact(stamp, b"a token")
    assert published == b"k3f9-17m60a24181e4000.3e8 a token"
    assert pass_on_compact(stamp, published, 1_700_000_000_003_000_000) == b"m60a24181e4000.3e8.7d0 a token"


instants = st.integers(0, 2 * 10**18)
lines = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n"), max_size=60)


@given(st.integers(0, 10**17), st.sampled_from(["warmup", "measure"]), instants, *[st.integers(0, 10**10)] * 2, lines)
def test_a_compact_stamp_comes_back_with_microseconds(seq, phase, due_ns, late_ns, way_ns, text):
    stamp = Stamp(new_stream(), seq, "t", phase, due_ns, due_ns + late_ns)
    published = encode_compact(stamp, text.encode())
    read = decode(published, "t")
    assert (read.id, read.topic, read.phase) == (stamp.id, "t", phase)
    assert (read.due_ns, read.sent_ns) == (due_ns // 1000 * 1000, (due_ns + late_ns) // 1000 * 1000)
    received_ns = read.sent_ns + way_ns
    passed_on = read_passed_on(pass_on_compact(read, published, received_ns).decode())
    assert passed_on == (phase, read.due_ns, read.sent_ns, received_ns // 1000 * 1000, text)
    assert passed_on.received_ns >= passed_on.sent_ns >= passed_on.due_ns, "no hop becomes negative by being cut down"


def test_a_compact_stamp_adds_little_to_the_payload():
    late = Stamp(new_stream(), 9_999, "t", "measure", 1_800_000_000_000_000_000, 1_800_000_001_000_000_000)
    for payload in (b"", b"token"):
        published = encode_compact(late, payload)
        passed_on = pass_on_compact(late, published, late.sent_ns + 10**9)
        assert len(published) - len(payload) <= COMPACT_BYTES
        assert len(late.id) + len(passed_on) - len(payload) <= COMPACT_BYTES


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"k3f9-17m60a.3e8 a\nb", "one line"),
        (b"k3f9-17m60a.3e8 \xff", "UTF-8"),
        (b"k3f9-17x60a.3e8 a", "JSON"),
        (b"k3f9-17m60a.3e8", "JSON"),
        (b"k3f9-017m60a.3e8 a", "JSON"),
        (b"K-1m1.1 a", "JSON"),
        (b"k3f9-17m20000000000000.3e8 a", "JSON"),
    ],
)
def test_an_invalid_compact_stamp_is_named(payload, reason):
    with pytest.raises(StampError, match=reason):
        decode(payload, "t")


@given(st.text(max_size=60))
def test_any_input_is_a_passed_on_stamp_or_none(data):
    found = read_passed_on(data)
    assert found is None or data.endswith(found.payload)


names = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)
pads = st.text(st.sampled_from('ab "\\}{,é\n'), max_size=12)


@given(
    names,
    pads,
    st.sampled_from(["warmup", "measure", "other"]),
    st.integers(-1, 10**18),
    st.sampled_from(["", " ", "x"]),
)
def test_the_pattern_and_the_parser_of_json_agree(topic, pad, phase, number, behind):
    fields = {"stream": "k3f9", "seq": 17, "topic": topic, "phase": phase, "due_ns": number, "sent_ns": 5, "pad": pad}
    payload = orjson.dumps(fields) + behind.encode()
    found = []
    for short_bytes in (10_000, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.stamp.SHORT_BYTES", short_bytes)
            try:
                found.append(decode(payload))
            except StampError as error:
                found.append(str(error))
    assert found[0] == found[1]


@given(names, pads, names)
def test_a_forwarded_event_is_read_like_json(topic, pad, server):
    stamp = Stamp("k3f9", 17, topic, "measure", 1, 2)
    fields = {"server": server, "received_ns": 3} | stamp._asdict() | {"pad": pad}
    received = read_received(orjson.dumps(fields).decode())
    assert received is None or received == (stamp, server, 3, pad)
    plain = {"server": "replica-1", "received_ns": 3} | stamp._replace(topic="room-1")._asdict() | {"pad": "x" * 50}
    assert read_received(orjson.dumps(plain).decode()).server == "replica-1"
