"""Reads a JetStream stream from a point in time, with a separate consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from brokers.endpoint import Endpoint
from brokers.log_reader import Entry
from brokers.nats_link import NatsConnection
from brokers.nats_push import ACK_EVERY, WINDOW, from_time, place, start_consumer
from brokers.nats_stream import look_at_stream, subjects_of
from brokers.nats_subscriptions import end_subscription


async def history(
    endpoint: Endpoint, link: NatsConnection, since_ns: int, upto: int
) -> AsyncGenerator[Sequence[Entry], None]:
    """The entries from a moment (ns, on the server's clock) up to and including a number.

    Raises:
        BrokerError: JetStream's own reason. TimeoutError: it stopped sending.
    """
    first = (await look_at_stream(endpoint, link)).first
    if first > upto:  # the server would send a window of later messages before it hears that nobody wants them
        return
    cut = len(subjects_of(endpoint).encode()) + 1
    arrived: asyncio.Queue[tuple[bytes, bytes, bytes]] = asyncio.Queue()  # bounded by the window

    def take(subject: bytes, reply: bytes, payload: bytes) -> None:
        if reply:
            arrived.put_nowait((subject, reply, payload))

    consumer = await start_consumer(endpoint, link, take, from_time(since_ns), min(WINDOW, upto - first + 1))
    pending, number, acknowledged = consumer.pending, -1, consumer.before
    try:
        while pending and number < upto:
            async with asyncio.timeout(endpoint.timeout_s):
                messages = [await arrived.get()]
            messages += [arrived.get_nowait() for _ in range(arrived.qsize())]
            entries = []
            for subject, reply, payload in messages:
                number, _, pending = place(reply)
                if number <= upto:
                    entries.append((subject[cut:].decode(errors="surrogateescape"), payload))
            yield entries
            if number - acknowledged >= ACK_EVERY:
                acknowledged = number
                await link.client.publish(reply.decode(), b"+ACK")
    finally:
        await end_subscription(link, consumer.subscription)
