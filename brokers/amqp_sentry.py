"""Publishes on behalf of a consumer, once a second: RabbitMQ does not report alarms or lost bindings to consumers.

RabbitMQ reports an alarm to a connection on that connection's first publish, and then reads nothing more from it, so
the sentry has its own connection. RabbitMQ returns a mandatory message that reaches no queue, so the sentry publishes
one to the consumer's own queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from brokers.amqp_errors import errors, kind_of
from brokers.amqp_link import AmqpConnection, until_lost
from brokers.amqp_once import once_connected
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.link import Link
from brokers.reconnect import finish

_EVERY_S = 1.0
_AGAIN_S = 2.0
_RETURNS = 2
"""Consecutive misses after which a binding counts as lost: a single one may come from a reconnect."""
Canary = tuple[str, str]
"""Exchange and routing key of a binding to the consumer's queue, only for the sentry; both empty for none."""
NO_CANARY: Canary = ("", "")


@asynccontextmanager
async def watched_over(endpoint: Endpoint, link: Link, canary: Callable[[], Canary]) -> AsyncIterator[None]:
    """Within the block, the link's notice reports an alarm, and the link is dropped if nothing reaches its queue."""
    sentry = _Sentry(endpoint, link, canary)
    task = asyncio.create_task(sentry.run(), name=f"{endpoint} sentry")
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(endpoint.timeout_s):
                await sentry.tried.wait()
        yield
    finally:
        await finish(_ended(task))


async def _ended(task: asyncio.Task[None]) -> None:
    while not task.done():  # a library may have swallowed the cancellation
        task.cancel()
        await asyncio.wait([task], timeout=_EVERY_S)


class _Sentry:
    def __init__(self, endpoint: Endpoint, link: Link, canary: Callable[[], Canary]) -> None:
        self._link = link
        self._canary = canary
        self._nobody = f"{endpoint.prefix}.nobody"
        self.tried = asyncio.Event()
        """Set once it watches, or once it cannot watch."""
        self._may_use_exchange = True
        self._published = NO_CANARY
        self._returns = 0

    async def run(self) -> None:
        """Connect to the link's host repeatedly; stop if the user may not publish at all."""
        while True:
            try:
                async with once_connected(self._link.target) as other:
                    other.tell = self._link.note
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._publish(other))
                        tasks.create_task(until_lost(other))
            except* (BrokerError, *errors) as group:
                kinds = {kind_of(error) for error in group.exceptions}
            self.tried.set()
            if CauseKind.PERMISSION in kinds:
                if not self._may_use_exchange:
                    return
                self._may_use_exchange = False
            elif CauseKind.NOT_FOUND in kinds:
                self._came_back()
            self._link.note("")
            await asyncio.sleep(_AGAIN_S)

    async def _publish(self, other: AmqpConnection) -> None:
        while True:
            await other.takes_messages.wait()
            canary = self._canary() if self._may_use_exchange and self._link.connected else NO_CANARY
            self._returns = self._returns if canary == self._published else 0
            self._published, other.unroutable = canary, False
            exchange, key = canary
            # Goes to the default exchange without a queue's name, so nobody receives it.
            await other.channel.basic_publish(
                b"", exchange=exchange, routing_key=key or self._nobody, mandatory=bool(exchange)
            )
            self.tried.set()
            await asyncio.sleep(_EVERY_S)
            if exchange and other.unroutable:
                self._came_back()
            else:
                self._returns = 0

    def _came_back(self) -> None:
        self._returns += 1
        if self._returns >= _RETURNS and self._canary() == self._published:
            self._returns = 0
            self._link.drop(f"exchange '{self._published[0]}' passes no messages to it: somebody removed the binding")
