"""Admission: token, limits, bad requests, hostile connections. It uses a separate replica with small limits."""

import json
import socket
from collections.abc import Iterator

import pytest

from core.contracts import codec
from tests.server.program import Publisher, Replica, SseClient, running
from tests.waiting import wait_until

TOKEN = "marked-t0ken"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


ALLOWED = "https://example.org"


@pytest.fixture(scope="module")
def strict(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    settings = {
        "token": TOKEN,
        "max_clients": 5,
        "max_topics": 4,
        "max_topics_per_client": 3,
        "head_timeout_s": 1,
        "retry_after_s": 7,
        "access_log": "true",
        "cors_origins": ALLOWED,
        "topic_linger_s": 0,
    }
    with running(tmp_path_factory.mktemp("strict"), broker_url=valkey, **settings) as replica:
        yield replica


def error(answer: tuple[int, bytes, object]) -> str:
    found: str = json.loads(answer[1])["error"]
    return found


@pytest.mark.parametrize("path", ["/sse", "/stats", "/metrics"])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"Authorization": "Bearer wrong"}, ""),
        ({"Authorization": f"Basic {TOKEN}"}, ""),
        ({"Authorization": "Bearer " + "x" * 5000}, ""),
        ({}, "?token=wrong"),
        ({"Authorization": "Bearer \u00e9"}, f"?token={TOKEN}"),
    ],
)
def test_without_the_token_nobody_listens(strict: Replica, path: str, headers: dict[str, str], query: str) -> None:
    status, body, found = strict.get(path + query, headers)
    assert status == 401
    assert found["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in json.loads(body)["error"]
    assert TOKEN not in body.decode()


def test_with_the_token_in_header_or_query(strict: Replica, publisher: Publisher) -> None:
    with (
        SseClient(strict.port, headers=BEARER) as one,
        SseClient(strict.port, f"/sse?token={TOKEN}") as two,
    ):
        one.opened()
        two.opened()
        stamp = publisher.event()
        assert one.take_ids(1) == two.take_ids(1) == [stamp.id]
    assert strict.get(f"/stats?token={TOKEN}")[0] == 200
    assert strict.get("/healthz")[0] == strict.get("/readyz")[0] == 200


def test_the_token_is_in_no_log(strict: Replica) -> None:
    strict.get(f"/stats?token={TOKEN}")
    wait_until(lambda: "token=***" in strict.log.read_text(), "the request is logged")
    assert TOKEN not in strict.log.read_text()
    assert TOKEN not in codec.encode(strict.stats(BEARER))


def test_one_client_too_many_gets_a_retry_time(strict: Replica) -> None:
    wait_until(lambda: strict.stats(BEARER).clients == 0, "those of other tests are gone")
    clients = [SseClient(strict.port, headers=BEARER).opened() for _ in range(5)]
    status, body, headers = strict.get("/sse", BEARER)
    assert status == 503
    assert 4 <= int(headers["retry-after"]) <= 10
    assert "5 clients" in json.loads(body)["error"]
    for client in clients:
        client.sock.close()
    wait_until(lambda: strict.stats(BEARER).clients == 0, "they are gone")
    SseClient(strict.port, headers=BEARER).opened().sock.close()
    assert strict.stats(BEARER).refused["503"] >= 1


def test_topics_are_limited_by_client_and_by_replica(strict: Replica) -> None:
    assert "may have 3" in error(strict.get("/sse?topic=a&topic=b&topic=c&topic=d", BEARER))
    with SseClient(strict.port, "/sse?topic=a&topic=b&topic=c&topic=a", BEARER) as client:
        client.opened()
        status, body, headers = strict.get("/sse?topic=d", BEARER)
        assert status == 503
        assert 4 <= int(headers["retry-after"]) <= 10
        assert "FANBENCH_MAX_TOPICS" in json.loads(body)["error"]


@pytest.mark.parametrize("topic", ["", "a%20b", "a%0Ab", "%00", "x" * 1025, "%C3%BC" * 513, "a%E2%80%A8b"])
def test_topics_that_cannot_be_used(strict: Replica, topic: str) -> None:
    status, body, _ = strict.get(f"/sse?topic={topic}", BEARER)
    assert status == 400
    assert "topic" in json.loads(body)["error"]


@pytest.mark.parametrize("query", ["topics=a,b", "Topic=a", "topic[]=a", "topic%5B%5D=a", "topic=a&topics=b"])
def test_a_misspelt_parameter_is_refused_instead_of_the_default_topic(strict: Replica, query: str) -> None:
    status, body, _ = strict.get(f"/sse?{query}", BEARER)
    assert status == 400
    assert "?topic=a&topic=b" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/sse", 405), ("HEAD", "/sse", 401), ("HEAD", "/healthz", 200), ("GET", "/nothing", 404)],
)
def test_other_requests_get_an_answer(strict: Replica, method: str, path: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert sock.recv(65_536).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /sse HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET /sse HTTP/1.1\r\nHost: x\r\n", 408),
        (b"", 408),
    ],
)
def test_a_malformed_huge_or_slow_head_is_refused(strict: Replica, request_: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", strict.port), timeout=15) as sock:
        sock.sendall(request_)
        answer = b""
        try:
            while data := sock.recv(65_536):
                answer += data
        except ConnectionResetError:
            pass
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:100]


def test_a_request_behind_a_stream_is_refused_and_nothing_is_left(strict: Replica) -> None:
    request = f"GET /sse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as sock:
        sock.sendall(request + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: strict.stats(BEARER).clients == 0, "no client is left")


def test_input_after_the_request_is_ignored(strict: Replica, publisher: Publisher) -> None:
    with SseClient(strict.port, headers=BEARER) as client:
        client.opened()
        for _ in range(20):
            client.sock.sendall(b"GET /sse HTTP/1.1\r\nHost: x\r\n\r\n" + b"\xff" * 10_000)
        stamp = publisher.event()
        assert client.take_ids(1) == [stamp.id]
        client.sock.shutdown(socket.SHUT_WR)
        client.read_to_end()
    wait_until(lambda: strict.stats(BEARER).clients == 0, "half-closed is closed")


def test_clients_that_leave_at_once_leave_nothing(strict: Replica) -> None:
    request = f"GET /sse?topic=brief HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as sock:
            sock.sendall(request)
    wait_until(lambda: strict.stats(BEARER).clients == 0, "no client is left")
    wait_until(lambda: "brief" not in strict.stats(BEARER).topics, "the topic is let go")
    assert "Traceback" not in strict.log.read_text()


@pytest.mark.parametrize(("origin", "named"), [(ALLOWED, True), ("https://elsewhere.org", False)])
def test_another_site_may_read_only_when_it_is_named(strict: Replica, origin: str, named: bool) -> None:
    _, _, headers = strict.get("/stats", BEARER | {"Origin": origin})
    assert headers.get("access-control-allow-origin") == (ALLOWED if named else None)
    with SseClient(strict.port, headers=BEARER | {"Origin": origin}).opened() as stream:
        assert (f"access-control-allow-origin: {ALLOWED}".encode() in stream.head) == named
    refused, _, headers = strict.get("/sse?topic=%20", BEARER | {"Origin": origin})
    assert refused == 400
    assert headers.get("access-control-allow-origin") == (ALLOWED if named else None)


def test_metrics_are_prometheus_text(strict: Replica) -> None:
    assert strict.get("/metrics")[0] == 401
    status, body, headers = strict.get("/metrics", BEARER)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert values["fanbench_ready"] == 1
    assert values['fanbench_refused_total{reason="401"}'] > 0
    assert values["process_resident_memory_bytes"] > 10**6


def test_the_log_is_not_filled_by_bad_clients(strict: Replica) -> None:
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            sock.recv(4096)
    assert strict.log.read_text().count("Invalid HTTP request") <= 3
    assert "Traceback" not in strict.log.read_text()
