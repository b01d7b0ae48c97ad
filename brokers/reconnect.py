"""The reconnect policy of all adapters, so that a comparison of faults compares brokers, not defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from brokers.backoff import delays_s, heartbeat_s
from brokers.endpoint import Endpoint
from brokers.supervisor import ReconnectLoop, Supervisor
from brokers.waiting import finish, quietly, reason, uncancelled

__all__ = [
    "ReconnectLoop",
    "delays_s",
    "finish",
    "heartbeat_s",
    "keep_up",
    "quietly",
    "reason",
    "uncancelled",
]

C = TypeVar("C")


@asynccontextmanager
async def keep_up(endpoint: Endpoint, line: ReconnectLoop[C]) -> AsyncIterator[None]:
    """Connect, and within the block connect again whenever the connection is lost, with `delays_s` between attempts.

    Each host of the URL is tried in turn. Only leaving the block ends this, whatever is raised or cancelled. It leaves
    no task and no connection behind, even if it is cancelled while closing.

    Raises:
        BrokerError: no host answered within the endpoint's deadline. UsageError: the URL is wrong.
    """
    supervisor = Supervisor(endpoint, line)
    connection = await supervisor.first()
    task = asyncio.create_task(supervisor.run(connection), name=f"{endpoint} line")
    try:
        # A task that is cancelled before its first step would not close the connection; the second step starts `serve`.
        for _ in range(2):
            await asyncio.sleep(0)
        yield
    finally:
        supervisor.close()
        await finish(_settled(task))


async def _settled(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
