"""The meaning of an endpoint's answer: a stream, a redirect, an order to stop, or a refusal with a remedy."""

import gzip
import zlib

import brotli
import pytest

from load.answers import LONGEST_WAIT_S, Redirect, RefusalError, Stop, judge, retry_after_s, shown
from load.bodies import MAX_INFLATED_BYTES, CompressedBody, Gzip, SizedBody, inflater_of, length_of
from load.clock_bound import ClockBound
from load.endpoint_access import shape_of
from load.http1 import ChunkedBody, Http1Error, ResponseHead

URL = "https://h:8443/a/events?x=1"
EVENTS = [b"data: %d\n\n" % number for number in range(50)]


def head(status=200, **headers):
    return ResponseHead(status, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (head(200), None),
        (head(204), Stop()),
        (head(301, location="/b"), Redirect("https://h:8443/b", False)),
        (head(303, location="http://x/b"), Redirect("http://x/b", False)),
        (head(307, location="c?y=2"), Redirect("https://h:8443/a/c?y=2", True)),
        (head(308, location="//y/d"), Redirect("https://y/d", True)),
    ],
)
def test_the_meaning_of_each_answer(answer, outcome):
    assert judge(answer, URL, 0.0) == outcome


@pytest.mark.parametrize(
    ("answer", "says", "wait_s"),
    [
        (head(302), "status 302 without a Location", None),
        (head(302, location="http://[::1/b"), "status 302 with a Location that is no URL: Invalid IPv6 URL", None),
        (head(401), "status 401 Unauthorized: give credentials: --token", None),
        (head(403), "status 403 Forbidden: these credentials may not listen here", None),
        (head(429, retry_after="7"), "status 429 Too Many Requests, Retry-After 7: lower -r", 7.0),
        (
            head(503, retry_after="Thu, 01 Jan 1970 00:01:00 GMT"),
            "status 503 Service Unavailable, Retry-After Thu",
            60.0,
        ),
        (head(599), "status 599: see the service's log$", None),
    ],
)
def test_a_refusal_is_reported_with_the_next_step(answer, says, wait_s):
    with pytest.raises(RefusalError, match=says) as caught:
        judge(answer, URL, 0.0)
    assert caught.value.wait_s == wait_s


def test_a_redirects_target_is_shown_without_its_secrets():
    assert shown("https://me:s3cret@h:1/a/b?token=s3cret#c") == "https://h:1/a/b"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("99999999999999", LONGEST_WAIT_S),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:10 +99999999999999", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after(text, seconds):
    assert retry_after_s(text, 20.0) == seconds


def compressed(coding):
    """The events, each flushed separately, as servers do."""
    if coding == "br":
        compressor = brotli.Compressor()
        return [compressor.process(event) + compressor.flush() for event in EVENTS]
    compressor = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return [compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH) for event in EVENTS]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_each_event_of_a_compressed_stream_is_read_when_it_comes(coding):
    answer = head(content_encoding=coding, transfer_encoding="chunked", content_type="text/event-stream")
    shape = shape_of(answer)
    body = shape.wire_format.framing()
    for event, piece in zip(EVENTS, compressed(coding), strict=True):
        assert b"".join(body.feed(b"%x\r\n%b\r\n" % (len(piece), piece))) == event
    assert (body.ended, body.between, shape.shared) == (False, False, False)
    body.feed(b"0\r\n\r\n")
    assert body.ended


def test_a_body_that_is_not_what_its_head_says_is_refused():
    body = CompressedBody(ChunkedBody(), inflater_of(head(content_encoding="gzip"))())
    with pytest.raises(Http1Error, match="compressed body is broken"):
        body.feed(b"5\r\nhello\r\n")
    with pytest.raises(
        Http1Error, match="content-encoding zstd, which was not requested; gzip, deflate and br are read"
    ):
        inflater_of(head(content_encoding="zstd"))
    with pytest.raises(Http1Error, match="text/html instead of text/event-stream"):
        shape_of(head(content_type="text/html"))


def test_a_body_of_a_known_length_ends_there():
    assert (length_of(head(content_length="7")), length_of(head()), length_of(head(content_length="-1"))) == (
        7,
        None,
        None,
    )
    body = SizedBody(7)
    assert (body.feed(b"data"), body.ended) == ([b"data"], False)
    assert (body.feed(b": x+more"), body.ended) == ([b": x"], True)
    answer = head(content_type="text/event-stream; charset=utf-8", content_encoding="gzip", content_length="1000")
    framing = shape_of(answer).wire_format.framing()
    assert framing.feed(gzip.compress(b"data: 1\n\n")) == [b"data: 1\n\n"]


def test_date_headers_bound_the_clock():
    second = 10**9
    clock = ClockBound()
    clock.note("Thu, 01 Jan 1970 00:00:10 GMT", int(10.2 * second), int(10.3 * second))
    assert (clock.low_ns, clock.high_ns) == (-int(0.3 * second), int(0.8 * second))
    clock.note("no date", 0, 0)
    clock.note("Thu, 01 Jan 1970 00:00:11 GMT", int(10.9 * second), 11 * second - 1)
    assert (clock.low_ns, clock.high_ns) == (1, int(0.8 * second))
    clock.meet(ClockBound())
    assert clock.low_ns == 1


def test_gzip_in_several_members_is_read_whole():
    inflate = Gzip()
    members = gzip.compress(b"data: 1\n\n") + gzip.compress(b"data: 2\n\n")
    pieces = [inflate(members[at : at + 7]) for at in range(0, len(members), 7)]
    assert b"".join(pieces) == b"data: 1\n\ndata: 2\n\n"


def test_a_read_that_becomes_too_large_is_refused():
    bomb = zlib.compress(bytes(MAX_INFLATED_BYTES + 1))
    with pytest.raises(Http1Error, match="more than 16,777,216 bytes"):
        Gzip()(bomb)
