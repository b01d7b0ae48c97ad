"""Generated requests to a replica and to plain Starlette on uvicorn: the replica's answers are never worse."""

import http.client
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core.ports import free_port
from core.process import OWN_PYTHON
from tests.server.program import running
from tests.waiting import wait_until

PATIENCE_S = 20.0
PATHS = [
    "/sse",
    "/sse?topic=a&topic=b",
    "/sse?topic=%C3%A9&last_event_id=x-1",
    "/sse?heartbeat=5&x=%zz",
    "/%73se",
    "/sse/",
]
PATHS += [
    "/healthz",
    "/healthz?a=b&a",
    "/readyz",
    "/stats",
    "/metrics",
    "/",
    "/index.html",
    "/nothing",
    "//healthz",
    "/../etc",
]
PATHS += ["http://x/healthz", "/healthz#part", "/" + "a" * 3000, "/sse?x=" + "y" * 9000, "/app.js", "/%00", "/%", "*"]
METHODS = ["GET"] * 8 + ["HEAD"] * 3 + ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO", "get"]
EXTRAS = [
    "Accept: text/event-stream",
    "Accept-Encoding: gzip, br",
    "Cookie: a=b; c=d",
    "Range: bytes=0-3",
    "If-None-Match: *",
    "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT",
    "Origin: http://elsewhere.example",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Expect: 100-continue",
    "Last-Event-ID: \u00e9",
    "Last-Event-ID:",
    "X-Large: " + "z" * 8000,
    "X-Forwarded-For: 1.2.3.4",
    "x_odd-name!: 1",
    "TE: trailers",
]
BODIES = [b""] * 6 + [
    b"Content-Length: 3\r\n\r\nabc",
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"Content-Length: 0\r\n\r\n",
]


class Answer(NamedTuple):
    status: int
    """0 if there is none, or if it is not HTTP."""
    body: bytes


def generated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """The method and bytes of each request; all are valid by RFC 9112, except some paths."""
    rng = random.Random(seed)
    for _ in range(count):
        method, path, version = rng.choice(METHODS), rng.choice(PATHS), rng.choice(["1.1", "1.1", "1.1", "1.0"])
        lines = [f"{method} {path} HTTP/{version}", "Host: x", *rng.sample(EXTRAS, rng.randrange(4))]
        rng.shuffle(lines[1:])
        body = rng.choice(BODIES) if method not in ("TRACE",) else b""
        yield method, "\r\n".join(lines).encode() + b"\r\n" + (body or b"\r\n")


def ask(port: int, method: str, request: bytes) -> Answer:
    """Read only a stream's head."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        sock.sendall(request)
        response = http.client.HTTPResponse(sock, method=method.upper())
        try:
            response.begin()
            if "event-stream" in (response.getheader("content-type") or ""):
                return Answer(response.status, b"")
            length = response.getheader("content-length")
            body = response.read(int(length)) if length is not None and method != "HEAD" else b""
        except (OSError, http.client.HTTPException, ValueError):
            return Answer(0, b"")
        return Answer(response.status, body)


def rank(answer: Answer) -> int:
    """How good an answer is for a client: the requested one, a refusal, a fault, nothing."""
    return 0 if not answer.status else 1 if answer.status >= 500 else 2 if answer.status >= 400 else 3


@pytest.fixture(scope="module")
def plain(integration: None) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([*OWN_PYTHON, "-m", "tests.server.plain_starlette", str(port)])

    def answers() -> bool:
        try:
            return ask(port, "GET", b"GET /healthz HTTP/1.0\r\n\r\n").status == 200
        except OSError:
            return False

    try:
        wait_until(answers, "plain Starlette", 40)
        yield port
    finally:
        process.kill()
        process.wait()


def worse(valkey: str, folder: Path, plain: int, count: int, seed: int) -> list[object]:
    """The requests that a replica answers worse, with both answers."""
    found: list[object] = []
    served = 0
    with running(folder, broker_url=valkey) as replica:
        for method, request in generated(count, seed):
            ours, theirs = ask(replica.port, method, request), ask(plain, method, request)
            served += rank(theirs) == 3
            same_text = b" /healthz" in request and method == "GET" and ours.status == theirs.status == 200
            if rank(ours) < rank(theirs) or (same_text and ours.body != theirs.body):
                found.append((request[:200], ours, theirs))
    assert served > count / 5, "most must be requests that could be answered worse"
    return found


def test_no_answer_is_worse(valkey: str, folder: Path, plain: int) -> None:
    assert worse(valkey, folder, plain, 300, seed=1) == []


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_no_answer_of_5_000_is_worse(valkey: str, folder: Path, plain: int) -> None:
    assert worse(valkey, folder, plain, 5_000, seed=2) == []
