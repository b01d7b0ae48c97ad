"""HTTP by RFC 9110 and 9112: half-closed connections, HEAD, Host, pipelines, and a reason in each refusal."""

import contextlib
import json
import socket
import time

import pytest

from core.host_clock import HostClock
from tests.server.program import Publisher, Replica, SseClient


def exchange(port: int, request: bytes, *, half_close: bool = False) -> bytes:
    """Everything that arrives until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(request)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while data := sock.recv(1 << 16):
                answer += data
        except ConnectionResetError:
            pass
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("path", [b"/stats", b"/healthz", b"/metrics", b"/", b"/nothing", b"/sse?topic=%20"])
def test_a_client_that_half_closes_gets_its_answer(replica: Replica, path: bytes) -> None:
    answer = exchange(replica.port, GET % path, half_close=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) == length > 0


def test_a_client_that_half_closes_gets_all_answers_of_its_pipeline(replica: Replica) -> None:
    answer = exchange(replica.port, GET % b"/healthz" * 500 + GET % b"/nothing", half_close=True)
    assert answer.count(b"HTTP/1.1 200 OK") == 500
    assert answer.count(b"HTTP/1.1 404 ") == 1


def test_a_half_closed_clients_stream_ends_cleanly(replica: Replica, publisher: Publisher) -> None:
    with SseClient(replica.port, "/sse?topic=half") as keeper:
        keeper.opened()
        stamps = publisher.events(3, "half")
        keeper.take(3)
        request = b"GET /sse?topic=half&last_event_id=%b HTTP/1.1\r\nHost: x\r\n\r\n" % stamps[0].id.encode()
        answer = exchange(replica.port, request, half_close=True)
        assert status(answer) == 200
        assert b"\nretry: " in answer
        assert answer.endswith(b"0\r\n\r\n")
        with SseClient(replica.port, "/sse?topic=half") as client:
            client.opened()
            client.sock.shutdown(socket.SHUT_WR)
            client.read_to_end()
            assert client.terminated


def test_half_a_request_and_the_end_is_closed(replica: Replica) -> None:
    assert exchange(replica.port, b"GET /stats HTTP/1.1\r\nHost", half_close=True) == b""


@pytest.mark.parametrize(
    ("path", "expected"), [("/sse", 200), ("/sse?topic=%20", 400), ("/sse?topic=a&last_event_id=garbage", 200)]
)
def test_head_is_get_without_a_body(replica: Replica, path: str, expected: int) -> None:
    close = b"Connection: close\r\n\r\n"
    answer = exchange(replica.port, f"HEAD {path} HTTP/1.1\r\nHost: x\r\n".encode() + close)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == expected
    assert body == b""
    with SseClient(replica.port, path) as client:
        while b"\r\n\r\n" not in client.raw:
            client.read_some()
        ours = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
        theirs = {line.partition(b":")[0].lower() for line in client.head.split(b"\r\n")[1:]}
        assert theirs - ours <= {b"transfer-encoding"}
        assert ours - theirs <= {b"connection"}
        assert (b"content-length" in ours) == (expected == 400)


def test_head_subscribes_nothing(replica: Replica) -> None:
    answer = exchange(replica.port, b"HEAD /sse?topic=headed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status(answer) == 200
    assert "headed" not in replica.stats().topics


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"GET /healthz HTTP/1.1\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: http://a/\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost:\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: example.org:8000\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\n", 200),
        (b"GET http://example.org/healthz HTTP/1.1\r\nHost: example.org\r\n", 200),
    ],
)
def test_host_rules(replica: Replica, lines: bytes, expected: int) -> None:
    answer = exchange(replica.port, lines + b"Connection: close\r\n\r\n")
    assert status(answer) == expected
    if expected == 400:
        assert "Host" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b"hello\r\n\r\n", "method"),
        (b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", "HTTP version"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nbad header: 1\r\n\r\n", "header"),
        (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Content-Length",
        ),
        (b"GET /he\x00althz HTTP/1.1\r\nHost: x\r\n\r\n", "URL"),
        (b"GET http://x:y/healthz HTTP/1.1\r\nHost: x\r\n\r\n", "URL"),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", "proxies"),
    ],
)
def test_a_400_says_what_was_wrong(replica: Replica, request_: bytes, words: str) -> None:
    answer = exchange(replica.port, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == 400
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    assert words.lower() in json.loads(body)["error"].lower()


def test_a_request_before_a_malformed_one_is_answered_first(replica: Replica) -> None:
    answer = exchange(replica.port, GET % b"/stats" + GET % b"/healthz" + b"nonsense\r\n\r\n")
    assert [part.split(b" ")[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]


@pytest.mark.parametrize("size", [60_000, 10_000_000])
def test_a_body_that_nobody_wants_does_not_take_the_answer_away(replica: Replica, size: int) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as sock:
        sock.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        assert status(sock.recv(1 << 16)) in (404, 405)
        with contextlib.suppress(OSError):  # a large one is not read to its end
            sock.sendall(bytes(size))


def test_ten_thousand_pipelined_requests_are_answered_one_by_one(replica: Replica) -> None:
    """More than 64 KiB of requests at once, although no single head is that large."""
    count = 10_000
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.sendall(GET % b"/healthz" * count)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(1 << 20):
            answer += data
    assert answer.count(b"HTTP/1.1 200 OK") == count
    assert answer.count(b"HTTP/1.1 ") == count


def test_the_clock_is_read_while_it_answers_and_says_whose_it_is(replica: Replica) -> None:
    before_ns = time.time_ns()
    code, body, headers = replica.get("/clock")
    reading = json.loads(body)
    assert (code, set(reading), reading["server"]) == (200, {"server", "now_ns"}, "replica-1")
    assert before_ns <= reading["now_ns"] <= time.time_ns()
    clock = HostClock.parse(headers["fanbench-clock"])
    assert clock is not None
    assert clock.is_same(HostClock.read())
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("POST", 405)])
def test_the_clock_is_requested_like_any_other_page(replica: Replica, method: str, code: int) -> None:
    assert replica.ask(method, "/clock")[0] == code
