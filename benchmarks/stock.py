"""Part (g): the cost of a program's or library's stock set-up, compared with the tuned one in fanbench, for docs/brokers.md.

It uses bare client libraries, so that the adapters do not count.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import redis.asyncio as redis

from benchmarks.figures import Figure, FigureRow, FigureTable
from benchmarks.machine import Cores
from brokers.contenders import find_contender

PAYLOAD_BYTES = 200
IN_FLIGHT = 256
SETTLED_S = 1.0
"""After this much silence, nothing more will arrive."""
POOL = 150
"""Publishes at once on a pool of redis-py's default size, 100."""


@dataclass(frozen=True, slots=True)
class StockSize:
    """Rounds; events of a paced QoS 0 stream and their rate; messages of a QoS 1 burst."""

    rounds: int
    events: int
    rate_hz: float
    burst: int


FULL = StockSize(3, 1_500, 500.0, 10_000)
QUICK = StockSize(1, 50, 500.0, 300)


def stock(size: StockSize, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    """A row for each set-up; one that is not installed is left out with a hint."""
    del cores  # both ends and the broker share the machine, as in a run
    rows, notes = [], []
    mosquitto = find_contender("mosquitto")
    if mosquitto.runnable:
        for name, features, nodelay in (
            ("mosquitto QoS 0, all stock", ("stock",), False),
            ("mosquitto QoS 0, set_tcp_nodelay in the broker alone", (), False),
            ("mosquitto QoS 0, and TCP_NODELAY on the client's socket", (), True),
        ):
            say(name)
            with mosquitto.started(folder / f"stock-qos0-{len(features)}-{nodelay}", *features) as running:
                port = _port(running.listeners["mqtt"])
                rounds = [asyncio.run(_paced(port, nodelay, size)) for _ in range(size.rounds)]
            p99, most = zip(*rounds, strict=True)
            rows.append(FigureRow(name, {"p99 ms": Figure.of(p99), "max ms": Figure.of(most)}))
        for name, features in (
            ("mosquitto QoS 1 burst, stock queues", ("stock",)),
            ("mosquitto QoS 1 burst, max_queued_messages 0, max_inflight_messages 0", ()),
        ):
            say(name)
            with mosquitto.started(folder / f"stock-qos1-{len(features)}", *features) as running:
                port = _port(running.listeners["mqtt"])
                arrived = [asyncio.run(_burst(port, size.burst)) for _ in range(size.rounds)]
            rows.append(FigureRow(name, {"% arrived": Figure.of([100 * count / size.burst for count in arrived])}))
    else:
        notes.append(f"mosquitto left out: {mosquitto.install_hint}")
    with find_contender("valkey").launched(folder / "stock-valkey") as broker:
        for name, one_connection in (
            (f"redis-py's pool, {POOL} publishes at once", False),
            (f"one pipelined connection, {POOL} publishes at once", True),
        ):
            say(name)
            refused = [asyncio.run(_refused(broker.url, one_connection)) for _ in range(size.rounds)]
            rows.append(FigureRow(name, {"refused": Figure.of(refused)}))
    return FigureTable("stock", "(g) what stock set-ups cost, measured with bare client libraries", rows, notes=notes)


def _port(listener: str) -> int:
    return int(listener.rpartition(":")[2])


def _client(port: int, nodelay: bool) -> aiomqtt.Client:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)] if nodelay else []
    client = aiomqtt.Client(
        "127.0.0.1",
        port,
        max_inflight_messages=IN_FLIGHT,
        max_concurrent_outgoing_calls=IN_FLIGHT,
        socket_options=options,
    )
    client.pending_calls_threshold = IN_FLIGHT
    return client


async def _paced(port: int, nodelay: bool, size: StockSize) -> tuple[float, float]:
    """p99 and maximum in milliseconds from publish to receive, at QoS 0."""
    late_ms: list[float] = []
    async with _client(port, nodelay) as publisher, _client(port, nodelay) as subscriber:
        await subscriber.subscribe("t", qos=0)

        async def read() -> None:
            async for message in subscriber.messages:
                assert isinstance(message.payload, bytes)
                late_ms.append((time.monotonic_ns() - struct.unpack_from("<q", message.payload)[0]) / 1e6)

        async with _while(read()):
            start_s = time.monotonic()
            for number in range(size.events):
                await asyncio.sleep(max(0.0, start_s + number / size.rate_hz - time.monotonic()))
                await publisher.publish("t", struct.pack("<q", time.monotonic_ns()).ljust(PAYLOAD_BYTES), qos=0)
            await _settled(lambda: len(late_ms), size.events)
    return float(np.percentile(late_ms, 99)), max(late_ms)


async def _burst(port: int, messages: int) -> int:
    """How many of a burst of QoS 1 messages arrive."""
    arrived = 0
    async with _client(port, True) as publisher, _client(port, True) as subscriber:
        await subscriber.subscribe("t", qos=1)

        async def read() -> None:
            nonlocal arrived
            async for _ in subscriber.messages:
                arrived += 1

        async with _while(read()):
            gate = asyncio.Semaphore(IN_FLIGHT)

            async def publish() -> None:
                async with gate:
                    await publisher.publish("t", bytes(PAYLOAD_BYTES), qos=1, timeout=60)

            await asyncio.gather(*(publish() for _ in range(messages)))
            await _settled(lambda: arrived, messages)
    return arrived


async def _refused(url: str, one_connection: bool) -> int:
    """How many of POOL publishes at once the client library refuses."""
    async with redis.Redis.from_url(url, single_connection_client=one_connection) as client:
        done = await asyncio.gather(*(client.publish("t", b"x") for _ in range(POOL)), return_exceptions=True)
    return sum(isinstance(one, redis.ConnectionError) for one in done)


@asynccontextmanager
async def _while(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine in a task while the block runs."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


async def _settled(count: Callable[[], int], wanted: int) -> None:
    """Wait until all have arrived, or nothing has for SETTLED_S."""
    seen, since_s = -1, time.monotonic()
    while count() < wanted and time.monotonic() - since_s < SETTLED_S:
        if count() != seen:
            seen, since_s = count(), time.monotonic()
        await asyncio.sleep(0.01)
