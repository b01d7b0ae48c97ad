"""The fallback: on a server without a transport, the same stream uses ASGI's `send`."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from brokers.registry import open_endpoint
from core.sse import SSEParser
from core.stamp import Stamp, encode
from server.app import create_api, open_streams_first
from server.connection_limits import ConnectionLimits
from server.replica import Replica
from server.settings import ServerSettings
from tests.server.made_up import turns

DEADLINE_S = 20


class Stream:
    """One GET of an ASGI application, by hand. With `slow` the server's `send` does not return."""

    def __init__(self, app: Any, query: str = "", headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.slow = False
        self._left = asyncio.Event()
        self._more = asyncio.Event()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/sse",
            "raw_path": b"/sse",
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": headers or [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._more.is_set():
            await self._left.wait()
            return {"type": "http.disconnect"}
        self._more.set()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        while self.slow:
            await asyncio.sleep(0.01)
        self.sent.append(message)

    def leave(self) -> None:
        self._left.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in SSEParser().feed(self.body) if event.event == "message"]


@asynccontextmanager
async def served(**changes: Any) -> AsyncIterator[tuple[Any, Replica]]:
    """The application with its lifespan, on a memory broker without a generator."""
    settings = ServerSettings(broker_url="memory://", **changes)
    broker = open_endpoint(settings.broker_url)

    def make() -> Replica:
        replica = Replica(settings, "replica-1", broker, ConnectionLimits(100, asyncio.get_running_loop()), pytest.fail)
        replica._generates = False
        return replica

    api = create_api(make)
    async with asyncio.timeout(DEADLINE_S), api.router.lifespan_context(api):
        await api.state.replica.link.filled.wait()
        yield open_streams_first(api, ""), api.state.replica


async def until(probe: Callable[[], object]) -> None:
    while not probe():
        await asyncio.sleep(0.005)


def payload(seq: int, pad: str = "") -> bytes:
    return encode(Stamp("s", seq, "events", "measure", 1, time.time_ns()), pad)


async def test_the_same_events_arrive() -> None:
    async with served() as (app, replica):
        stream = Stream(app)
        await until(lambda: b"retry:" in stream.body)
        for seq in range(5):
            replica.hub.accept("events", payload(seq))
        await until(lambda: len(stream.ids) == 5)
        assert stream.ids == [f"s-{seq}" for seq in range(5)]
        assert stream.sent[0]["status"] == 200
        resumed = Stream(app, headers=[(b"last-event-id", b"s-2")])
        await until(lambda: len(resumed.ids) == 2)
        assert resumed.ids == ["s-3", "s-4"]


async def test_a_client_that_leaves_is_noticed_although_send_does_not_report_it() -> None:
    async with served() as (app, replica):
        stream = Stream(app)
        await until(lambda: replica.hub.clients)
        stream.leave()
        await stream.task
        assert not replica.hub.clients
        assert replica.hub.topics["events"].users == 0
        assert replica.hub.ledger.disconnects == {"client left": 1}
        replica.hub.accept("events", payload(0))
        await turns()


async def test_a_slow_client_is_dropped_at_its_bound() -> None:
    async with served(client_buffer_bytes=16_384, max_event_bytes=2000) as (app, replica):
        slow, good = Stream(app), Stream(app)
        await until(lambda: len(replica.hub.clients) == 2)
        slow.slow = True
        for seq in range(40):
            replica.hub.accept("events", payload(seq, "x" * 1000))
            await turns()
        assert replica.hub.ledger.disconnects == {"slow": 1}
        assert len(good.ids) == 40
        assert replica.hub.buffered_bytes() < 16_384
        await slow.task  # the server's `send` still does not return
        assert replica.hub.topics["events"].users == 1


async def test_a_stop_ends_the_body() -> None:
    async with served() as (app, replica):
        stream = Stream(app)
        await until(lambda: replica.hub.clients)
        replica.hub.accept("events", payload(0))
        replica.begin_stop(lambda: None)
        await stream.task
        assert stream.ids == ["s-0"]
        assert stream.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with served() as (app, _):
        streams = [Stream(app) for _ in range(20)]
        await until(lambda: all(b"retry:" in stream.body for stream in streams))
        for stream in streams:
            stream.leave()
        await asyncio.gather(*(stream.task for stream in streams))
    await turns()
    assert asyncio.all_tasks() == before
