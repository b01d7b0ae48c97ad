"""HTTP for streams: wherever it is cut, the body is the same; anything else is refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.endpoint.origin import parse_origin
from core.errors import UsageError
from load.http1 import ChunkedBody, Http1Error, encode_request, sole_chunk, split_head

BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def chunked(pieces, extension=b"", trailer=b""):
    return (
        b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"
    )


@pytest.mark.parametrize("extension", [b"", b";name=value"])
@pytest.mark.parametrize("trailer", [b"", b"X-Sum: 1\r\nX-More: 2\r\n"])
def test_every_split_point_gives_the_same_body(extension, trailer):
    pieces = [b"id: k3f9-1\n", b"data: {}\r\n", b"\n", b"x" * 300]
    wire = chunked(pieces, extension, trailer)
    for cut in range(len(wire) + 1):
        body = ChunkedBody()
        got = body.feed(wire[:cut]) + body.feed(wire[cut:])
        assert b"".join(got) == b"".join(pieces)
        assert body.ended


@given(BODIES, st.data())
def test_any_cuts_give_the_same_body(pieces, data):
    wire = chunked(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    body = ChunkedBody()
    got = [piece for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) for piece in body.feed(wire[a:b])]
    assert b"".join(got) == b"".join(pieces)
    assert body.ended


@given(BODIES)
def test_between_is_true_exactly_at_chunk_ends(pieces):
    wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    ends = {0}
    for piece in pieces:
        ends.add(max(ends) + len(b"%x\r\n%b\r\n" % (len(piece), piece)))
    body = ChunkedBody()
    for at, byte in enumerate(wire):
        body.feed(bytes([byte]))
        assert body.between == (at + 1 in ends)


def test_whole_chunks_stay_whole():
    assert ChunkedBody().feed(b"3\r\nabc\r\n2\r\nde\r\n") == [b"abc", b"de"]


@pytest.mark.parametrize("wire", [b"xyz\r\n", b"-3\r\nabc\r\n", b"3\r\nabcde", b"3\r\nabc\rX", b"\r\n", b"1" * 70_000])
def test_a_body_that_is_not_chunked_is_refused(wire):
    whole, by_bytes = ChunkedBody(), ChunkedBody()
    with pytest.raises(Http1Error):
        whole.feed(wire)
    with pytest.raises(Http1Error):
        _ = [by_bytes.feed(bytes([byte])) for byte in wire]


def test_head_and_what_follows_it():
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\nabc"
    assert all(split_head(wire[:cut]) is None for cut in range(wire.index(b"3\r\n")))
    head, rest = split_head(wire)
    assert (head.status, head.chunked, rest) == (200, True, b"3\r\nabc")
    head.require_stream()


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "text/html"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "nothing instead"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n", "gzip"),
    ],
)
def test_answers_without_a_stream_are_named(wire, says):
    with pytest.raises(Http1Error, match=says):
        split_head(wire)[0].require_stream()


def test_a_headers_name_is_lower_case_and_its_value_stripped():
    head, _ = split_head(b"HTTP/1.1 101 Switching\r\nUpgrade:  websocket\t \r\nConnection: Upgrade\r\nX:\r\n\r\n")
    assert head.headers == {"upgrade": "websocket", "connection": "Upgrade", "x": ""}


@pytest.mark.parametrize(
    "wire", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", b"\r\n\r\n", b"x" * 70_000]
)
def test_other_protocols_are_refused(wire):
    with pytest.raises(Http1Error):
        split_head(wire)


def test_an_answer_cut_short_is_refused():
    with pytest.raises(Http1Error, match="before it answered"):
        split_head(b"HTTP/1.1 200 OK\r\nCont", complete=True)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "/sse?topic=a%2Fb%20c"),
        ("http://localhost/", "localhost", "/sse?topic=a%2Fb%20c"),
        ("http://[::1]:81/behind/proxy/", "[::1]:81", "/behind/proxy/sse?topic=a%2Fb%20c"),
    ],
)
def test_request(url, authority, path):
    lines = encode_request(parse_origin(url), "a/b c", last_event_id="k-7", token="t0").decode().split("\r\n")
    assert lines[0] == f"GET {path} HTTP/1.1"
    assert {f"Host: {authority}", "Last-Event-ID: k-7", "Authorization: Bearer t0"} < set(lines)
    assert lines[-2:] == ["", ""]


@pytest.mark.parametrize("url", ["x:8000", "http://", "http://x:99999", "ftp://x"])
def test_bad_replica_urls_are_refused(url):
    with pytest.raises(UsageError, match="server"):
        parse_origin(url)


@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=3),
    st.binary(max_size=6)
    | st.sampled_from([b"", b"0\r\n\r\n", b"3\r\nab", b"+3\r\nabc\r\n", b"3;x=1\r\nabc\r\n", b"0003\r\nabc\r\n"]),
)
def test_a_single_chunk_parses_as_in_a_body(contents, behind):
    data = b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents) + behind
    sole = sole_chunk(data)
    if len(contents) == 1 and not behind:
        assert sole == contents[0]
    if sole is not None:
        body = ChunkedBody()
        assert (b"".join(body.feed(data)), body.between, body.ended) == (sole, True, False)
