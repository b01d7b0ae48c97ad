"""NATS subscriptions: each message goes straight to a function, and a ping confirms requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError

from brokers.nats_errors import ERRORS
from brokers.nats_link import NatsConnection

__all__ = ["Msg", "Subscription", "confirm", "end_subscription", "subscribe"]

_NEVER_S = 1_000_000


async def confirm(link: NatsConnection) -> None:
    """Return once the broker has processed everything sent so far; overlapping calls share a ping.

    Raises:
        ConnectionClosedError: the connection was closed before the broker answered.
    """
    if link.confirming is None:
        link.confirming = asyncio.ensure_future(_ping(link))
        link.confirming.add_done_callback(
            lambda ping: ping.cancelled() or ping.exception()
        )  # the caller may have given up
    await asyncio.shield(link.confirming)


async def _ping(link: NatsConnection) -> None:
    """In nats-py's own flush the ping can overtake pending commands.

    If a flush gives up, its late answer breaks the reader, so no caller's deadline reaches it.
    """
    while link.client.pending_data_size and not link.client.is_closed:  # noqa: ASYNC110 - a turn or two of the loop
        await asyncio.sleep(0)
    link.confirming = None  # later commands are sent after the ping
    answered = asyncio.ensure_future(link.client.flush(_NEVER_S))
    closed = asyncio.ensure_future(link.closed.wait())
    try:
        await asyncio.wait({answered, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ConnectionClosedError
        answered.result()
    finally:
        answered.cancel()
        closed.cancel()


class NatsSink:
    """Replaces a subscription's queue: a message goes straight to a function, without a task in between."""

    def __init__(self, take: Callable[[Msg], None]) -> None:
        self.put_nowait = take

    def empty(self) -> bool:
        """It is always empty."""
        return True


async def subscribe(link: NatsConnection, subject: str, take: Callable[[Msg], None]) -> Subscription:
    """Call `take` for each message. nats-py's callbacks cost a queue and a task switch for each message."""
    subscription: Subscription = await link.client.subscribe(subject, pending_bytes_limit=0)
    early: Any = subscription._pending_queue
    subscription._pending_queue = cast("Any", NatsSink(take))
    while not early.empty():
        take(early.get_nowait())
    return subscription


async def subscribe_payloads(link: NatsConnection, subject: str, take: Callable[[bytes], None]) -> Subscription:
    """Call `take` with each message's payload alone, without nats-py's own parser."""
    subscription = await subscribe(link, subject, lambda message: take(message.data))
    link.parser.sinks[_number(subscription)] = take
    return subscription


async def end_payloads(link: NatsConnection, subscription: Subscription) -> None:
    """Stop passing messages on, and inform the broker."""
    link.parser.sinks.pop(_number(subscription), None)
    await end_subscription(subscription)


def _number(subscription: Subscription) -> bytes:
    return b"%d" % subscription._id


async def end_subscription(subscription: Subscription) -> None:
    """If a push consumer's subscription ends, the broker removes the consumer too."""
    with contextlib.suppress(*ERRORS):  # closed
        await subscription.unsubscribe()
