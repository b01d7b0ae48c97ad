"""The pattern for usual reads finds the same events as the general steps, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sse import encode_comment, encode_event
from core.stamp import Stamp, encode
from load.feed import Feed
from load.frames import SeriesRegistry
from load.transport import CHUNKED

FIELDS = ("seq", "measured", "server", "id", "due_ns", "sent_ns", "received_ns", "content", "wire_bytes")
TEXTS = st.text(max_size=12) | st.sampled_from(["t-1", 'a"b', "a\\b", "\x7f", "ü", " ", "a\nb"])
STAMPS = st.builds(
    Stamp,
    st.sampled_from(["k3f9", "a", "x" * 32]),
    st.sampled_from([0, 1, 17, 10**17]),
    TEXTS.filter(bool),
    st.sampled_from(["warmup", "measure"]),
    st.integers(0, 2 * 10**18),
    st.integers(0, 2 * 10**18),
)


def chunk(stamp, server="r1", pad="", id=None):
    data = json.dumps({"server": server, "received_ns": 30}, separators=(",", ":"), ensure_ascii=False)
    body = encode_event(data[:-1] + "," + encode(stamp, pad)[1:].decode(), id=id or stamp.id)
    return b"%x\r\n%b\r\n" % (len(body), body)


def found(read):
    return [
        [getattr(event, name) for name in FIELDS] + [event.series.stream, event.series.topic] for event in read.items
    ]


@given(
    reads=st.lists(
        st.tuples(STAMPS, TEXTS, st.sampled_from(["", "xxx", "c=1.2;xx", "x" * 3_000])), min_size=1, max_size=3
    )
)
def test_it_reads_what_the_steps_read(reads):
    data = b"".join(chunk(*read) for read in reads)
    once = Feed(SeriesRegistry(), CHUNKED, remember=False)
    usual = once.get(data)
    if usual is not None:
        assert found(usual) == found(Feed(SeriesRegistry(), CHUNKED).parse(data))


STAMP = Stamp("k3f9", 17, "t-1", "measure", 10, 20)
USUAL = chunk(STAMP, pad="x" * 60)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_it_reads_what_replicas_send(count):
    read = Feed(SeriesRegistry(), CHUNKED, remember=False).get(USUAL * count)
    assert read is not None
    assert [event.seq for event in read.items] == [17] * count
    assert read.last is read.items[-1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        USUAL[:-1],
        USUAL + b"0\r\n\r\n",
        USUAL + USUAL[:40],
        b"1" + USUAL,
        USUAL.replace(b'"seq":17', b'"seq":18'),
        USUAL.replace(b"k3f9-17", b"k3f8-17"),
        USUAL.replace(b'"r1"', b'"r\\u0031"'),
        USUAL.replace(b"\ndata", b"\nevent: x\ndata"),
        chunk(STAMP, pad="x" * 20_000),
        b"8\r\n" + encode_comment("wait") + b"\r\n",
    ],
    ids=range(11),
)
def test_other_reads_are_left_to_the_steps_and_create_no_event(data):
    registry = SeriesRegistry()
    assert Feed(registry, CHUNKED, remember=False).get(data) is None
    assert registry.harvest() == []
