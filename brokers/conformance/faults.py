"""Disturbs brokers and links, and waits for the consequences with deadlines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from brokers.api import Producer
from brokers.conformance.workbench import DEADLINE_S, BrokenPromiseError
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError
from brokers.programs.cluster import Cluster
from brokers.programs.running import Running

RETRY_S = 0.05


def impatient(endpoint: Endpoint, timeout_s: float = 1.0) -> Endpoint:
    """Return the endpoint with a shorter deadline."""
    return replace(endpoint, timeout_s=timeout_s)


async def publish_until_taken(producer: Producer, topic: str, payload: bytes) -> None:
    """Publish repeatedly until the broker takes it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await producer.publish(topic, payload)
            except BrokerError:
                await asyncio.sleep(RETRY_S)


async def publish_until_refused(producer: Producer, topic: str) -> BrokerError:
    """Publish until it raises, as it must once the adapter notices the lost connection."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await producer.publish(topic, b"is anybody there?")
                except BrokerError as error:
                    return error
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise BrokenPromiseError(f"publish neither raised nor returned for {DEADLINE_S:g} s") from None


def _descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


@asynccontextmanager
async def nothing_left(settled_s: float = 0.0) -> AsyncIterator[None]:
    """The block must leave no task and no file descriptor behind; closing may take a moment.

    Give running adapters `settled_s` to settle: some open another connection a second later to watch the leader.
    """
    await asyncio.sleep(settled_s)
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    yield
    try:
        async with asyncio.timeout(DEADLINE_S / 4):
            while asyncio.all_tasks() - tasks or _descriptors() > descriptors:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        left = [task.get_name() for task in asyncio.all_tasks() - tasks]
        more = _descriptors() - descriptors
        raise BrokenPromiseError(f"left behind: tasks {left}, {more} descriptors") from None


def restart(running: Running | Cluster) -> None:
    """Restart it in an orderly way; blocks."""
    running.halt()
    running.start_again()


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The address of a server that accepts connections and stays silent, and the event that it accepted one."""
    accepted = asyncio.Event()
    open_ones: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        accepted.set()
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        open_ones.discard(writer)
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname()), accepted
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()


async def polled(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition that nothing announces."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise BrokenPromiseError(f"{what}: not within {DEADLINE_S:g} s") from None
