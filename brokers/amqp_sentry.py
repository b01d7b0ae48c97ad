"""Whether RabbitMQ takes messages: a consumer is told nothing of an alarm, and hears only that nothing comes.

RabbitMQ tells a connection of an alarm on its first publish during it, and reads nothing from it from then on. So this is a
connection of its own: what blocks it must not block the consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from brokers.amqp_errors import errors, kind_of
from brokers.amqp_link import AmqpConnection, until_lost
from brokers.amqp_once import once_connected
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.link import Link
from brokers.reconnect import finish

_EVERY_S = 2.0
_AGAIN_S = 5.0


@asynccontextmanager
async def alarms_told(endpoint: Endpoint, link: Link) -> AsyncIterator[None]:
    """Within the block the link's notice says why the broker takes no messages."""
    task = asyncio.create_task(_watch(endpoint, link), name=f"{endpoint} alarms")
    try:
        yield
    finally:
        task.cancel()
        await finish(_ended(task))


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


async def _watch(endpoint: Endpoint, link: Link) -> None:
    """On a connection to the link's host, again and again; not for a user who may not publish."""
    allowed = True
    while allowed:
        try:
            async with once_connected(link.target) as other:
                other.tell = link.note
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_publish(other, f"{endpoint.prefix}.nobody"))
                    tasks.create_task(until_lost(other))
        except* (BrokerError, *errors) as group:
            if any(kind_of(error) is CauseKind.PERMISSION for error in group.exceptions):
                allowed = False
        link.note("")
        await asyncio.sleep(_AGAIN_S)


async def _publish(other: AmqpConnection, nobody: str) -> None:
    """To the default exchange and no queue's name: nobody gets it."""
    while True:
        await other.takes_messages.wait()
        await other.channel.basic_publish(b"", exchange="", routing_key=nobody)
        await asyncio.sleep(_EVERY_S)
