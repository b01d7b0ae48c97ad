"""Reads a JetStream stream from a point in time, with a separate consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from brokers.endpoint import Endpoint
from brokers.log_reader import Entry
from brokers.nats_link import NatsConnection
from brokers.nats_push import ACK_EVERY, from_time, place, start_consumer
from brokers.nats_stream import subjects_of
from brokers.nats_subscriptions import Msg, end_subscription


async def history(
    endpoint: Endpoint, link: NatsConnection, since_ns: int, upto: int
) -> AsyncGenerator[Sequence[Entry], None]:
    """The entries from a moment (ns, on the server's clock) up to and including a number.

    Raises:
        BrokerError: JetStream's own reason. TimeoutError: it stopped sending.
    """
    cut = len(subjects_of(endpoint)) + 1
    arrived: asyncio.Queue[Msg] = asyncio.Queue()  # bounded by the window

    def take(message: Msg) -> None:
        if message.reply:
            arrived.put_nowait(message)

    consumer = await start_consumer(endpoint, link, take, from_time(since_ns))
    pending, number = consumer.pending, -1
    try:
        while pending and number < upto:
            async with asyncio.timeout(endpoint.timeout_s):
                message = await arrived.get()
            number, _, pending = place(message.reply)
            if number <= upto:
                yield [(message.subject[cut:], message.data)]
            if number % ACK_EVERY == 0:
                await link.client.publish(message.reply, b"+ACK")
    finally:
        await end_subscription(consumer.subscription)
