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
from brokers.nats_parser import Sink

__all__ = ["Subscription", "confirm", "end_subscription", "open_inbox", "subscribe"]

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


async def subscribe(
    link: NatsConnection, subject: str, take: Sink, told: Callable[[bytes, str], None] | None = None
) -> Subscription:
    """Call `take` with each message, past nats-py's own parser if it has no headers.

    nats-py's callbacks cost a queue and a task switch for each message. `told` gets the subject and the status of a
    message that is only a status of the server; without it, `take` gets that too, as an empty message.
    """

    def take_parsed(message: Msg) -> None:
        subject, reply = (text.encode(errors="surrogateescape") for text in (message.subject, message.reply))
        status = message.headers.get("Status") if message.headers else None
        if told is not None and status and not message.data and not reply:
            told(subject, status)
        else:
            take(subject, reply, message.data)

    subscription: Subscription = await link.client.subscribe(subject, pending_bytes_limit=0)
    early: Any = subscription._pending_queue
    subscription._pending_queue = cast("Any", NatsSink(take_parsed))
    while not early.empty():
        take_parsed(early.get_nowait())
    link.parser.sinks[_number(subscription)] = take
    return subscription


async def open_inbox(link: NatsConnection) -> None:
    """Subscribe to the answers to this connection's requests."""
    requests = link.requests
    await subscribe(link, requests.new_inbox(), requests.take, requests.told)


async def end_subscription(link: NatsConnection, subscription: Subscription) -> None:
    """Stop passing messages on, and inform the broker; if a push consumer's subscription ends, it removes the consumer."""
    link.parser.sinks.pop(_number(subscription), None)
    with contextlib.suppress(*ERRORS):  # closed
        await subscription.unsubscribe()


def _number(subscription: Subscription) -> bytes:
    return b"%d" % subscription._id
