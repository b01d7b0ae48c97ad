"""`GET /clock`: this replica's wall clock, read while it answers, and whose clock it is."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from core.clock import now_ns
from core.contracts.clock import HOST_CLOCK_HEADER, ClockReading
from core.contracts.codec import encode
from core.host_clock import HostClock

Head = list[tuple[bytes, bytes]]


def clock_answer(server: str) -> tuple[Head, bytes]:
    """The headers and the body. It reveals nothing that is not in every event, so it needs no token."""
    head: Head = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (HOST_CLOCK_HEADER.encode(), str(HostClock.read()).encode()),
    ]
    body = encode(ClockReading(server=server, now_ns=now_ns())).encode()
    return [*head, (b"content-length", str(len(body)).encode())], body


async def answer_clock(server: str, scope: Scope, _: Receive, send: Send) -> None:
    """Answer without FastAPI's middleware stack: load and generator ask ten times a second."""
    head, body = clock_answer(server)
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
