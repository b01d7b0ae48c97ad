"""Each bare client library, used as its own documentation shows: the baseline for adapter and broker.

A side is opened with a URL's parts and a function to call for each message; it returns `publish(payload)`. Publisher
and reader have separate connections, as in a service with different processes: on one connection, an answer and a
message may share a read.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

TOPIC = "bare"
LENGTH = 100_000
Got = Callable[[], None]
Publish = Callable[[bytes], Awaitable[Any]]


@asynccontextmanager
async def redis_pubsub(url: str, got: Got) -> AsyncIterator[Publish]:
    """redis-py: `publish` through a blocking pool, needed for over 100 publishes in flight, and `pubsub.listen`."""
    import redis.asyncio as redis

    pool = redis.BlockingConnectionPool.from_url(url)
    async with redis.Redis(connection_pool=pool) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(TOPIC)

        async def read() -> None:
            async for message in pubsub.listen():
                if message["type"] == "message":
                    got()

        async with running(read()):
            yield lambda payload: client.publish(TOPIC, payload)


@asynccontextmanager
async def redis_streams(url: str, got: Got) -> AsyncIterator[Publish]:
    """redis-py: `xadd` with a length bound, `xread` that blocks."""
    import redis.asyncio as redis

    plain = url.replace("+streams", "")
    pool = redis.BlockingConnectionPool.from_url(plain)
    async with redis.Redis(connection_pool=pool) as client, redis.Redis.from_url(plain) as reader:

        async def read() -> None:
            last: Any = "$"
            while True:
                found: Any = await reader.xread({TOPIC: last}, count=500, block=1000)
                for _, entries in found:
                    for entry in entries:
                        last = entry[0]
                        got()

        async with running(read()):
            yield lambda payload: client.xadd(TOPIC, {"payload": payload}, maxlen=LENGTH, approximate=True)


@asynccontextmanager
async def nats_core(url: str, got: Got) -> AsyncIterator[Publish]:
    """nats-py: `publish`, and a subscription with a callback."""
    import nats

    async def deliver(_: Any) -> None:
        got()

    async with await nats.connect(url) as client, await nats.connect(url) as reader:
        await reader.subscribe(TOPIC, cb=deliver)
        await reader.flush()
        yield lambda payload: client.publish(TOPIC, payload)


@asynccontextmanager
async def nats_jetstream(url: str, got: Got) -> AsyncIterator[Publish]:
    """nats-py: `js.publish`, which waits for the stream, and an ordered consumer with a callback."""
    import nats

    async def deliver(_: Any) -> None:
        got()

    plain = url.replace("+js", "")
    async with await nats.connect(plain) as client, await nats.connect(plain) as reader:
        jetstream = client.jetstream()
        await jetstream.add_stream(name="bare", subjects=[TOPIC], max_msgs=LENGTH)
        subscription = await reader.jetstream().subscribe(TOPIC, ordered_consumer=True, cb=deliver)
        try:
            yield lambda payload: jetstream.publish(TOPIC, payload)
        finally:
            await subscription.unsubscribe()


@asynccontextmanager
async def mqtt(url: str, got: Got, qos: int) -> AsyncIterator[Publish]:
    """aiomqtt: `publish`, and the iterator of messages."""
    import aiomqtt

    parts = urlsplit(url)

    def connection() -> aiomqtt.Client:
        return aiomqtt.Client(
            parts.hostname or "",
            parts.port or 1883,
            username=parts.username,
            password=parts.password,
            max_inflight_messages=64,
            max_concurrent_outgoing_calls=64,
            # Like the adapter: Nagle's algorithm would save packets and CPU, but delay them by up to 40 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    async with connection() as client, connection() as reader:
        client.pending_calls_threshold = 64
        await reader.subscribe(TOPIC, qos)

        async def read() -> None:
            async for _ in reader.messages:
                got()

        async with running(read()):
            yield lambda payload: client.publish(TOPIC, payload, qos)


@asynccontextmanager
async def amqp(url: str, got: Got, confirms: bool) -> AsyncIterator[Publish]:
    """aio-pika: a direct exchange, a queue with a callback; with confirms messages are kept and acknowledged."""
    import aio_pika

    mode = aio_pika.DeliveryMode.PERSISTENT if confirms else aio_pika.DeliveryMode.NOT_PERSISTENT
    async with await aio_pika.connect(url) as connection, await aio_pika.connect(url) as reader:
        channel = await connection.channel(publisher_confirms=confirms)
        reading = await reader.channel()
        await reading.set_qos(1_000)
        exchange = await channel.declare_exchange("bare", "direct", durable=True)
        queue = await reading.declare_queue("bare", durable=confirms, exclusive=not confirms)
        await queue.bind("bare", TOPIC)

        async def deliver(message: Any) -> None:
            got()
            if confirms:
                await message.ack()

        await queue.consume(deliver, no_ack=not confirms)
        yield lambda payload: exchange.publish(aio_pika.Message(payload, delivery_mode=mode), TOPIC, mandatory=False)
        if confirms:
            await queue.delete(if_unused=False, if_empty=False)


@asynccontextmanager
async def amqp_stream(url: str, got: Got) -> AsyncIterator[Publish]:
    """aio-pika: a queue of type stream, read from its end, each message acknowledged."""
    import aio_pika

    plain = url.replace("+stream", "")
    async with await aio_pika.connect(plain) as connection, await aio_pika.connect(plain) as reader:
        channel = await connection.channel()
        reading = await reader.channel()
        await reading.set_qos(1_000)
        queue = await reading.declare_queue("bare.stream", durable=True, arguments={"x-queue-type": "stream"})

        async def deliver(message: Any) -> None:
            got()
            await message.ack()

        await queue.consume(deliver, arguments={"x-stream-offset": "next"})
        yield lambda payload: channel.default_exchange.publish(aio_pika.Message(payload), "bare.stream")


@asynccontextmanager
async def postgres_notify(url: str, got: Got) -> AsyncIterator[Publish]:
    """asyncpg: `SELECT pg_notify` on a pool, because a connection handles one request at a time, and `add_listener`."""
    import asyncpg

    async with asyncpg.create_pool(url, min_size=1, max_size=10) as pool:
        reader = await asyncpg.connect(url)
        await reader.add_listener(TOPIC, lambda *_: got())
        try:
            yield lambda payload: pool.execute("SELECT pg_notify($1, $2)", TOPIC, payload.decode())
        finally:
            await reader.close()


@asynccontextmanager
async def postgres_outbox(url: str, got: Got) -> AsyncIterator[Publish]:
    """asyncpg: INSERT and NOTIFY in one transaction, and a reader that selects the rows after the last id.

    The pool has one connection: with more, ids become visible out of order, and such a reader loses events.
    """
    import asyncpg

    plain, insert = url.replace("+outbox", ""), "INSERT INTO bare (payload) VALUES ($1) RETURNING pg_notify('bare', '')"
    woken = asyncio.Event()
    async with asyncpg.create_pool(plain, min_size=1, max_size=1) as pool:
        reader = await asyncpg.connect(plain)
        await reader.execute("CREATE TABLE IF NOT EXISTS bare (id bigserial PRIMARY KEY, payload bytea)")
        await reader.add_listener(TOPIC, lambda *_: woken.set())

        async def read() -> None:
            last = 0
            while True:
                await woken.wait()
                woken.clear()
                for row in await reader.fetch("SELECT id, payload FROM bare WHERE id > $1 ORDER BY id", last):
                    last = row["id"]
                    got()

        async with running(read()):
            yield lambda payload: pool.execute(insert, payload)
        await reader.close()


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a reader in a task until the block ends."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()  # more than once: redis-py swallows a cancellation that arrives with an answer
            await asyncio.wait([task], timeout=0.5)


def side(adapter: str, delivery: str, url: str, got: Got) -> Any:
    """The bare library of the adapter with that name."""
    at_least_once = delivery == "at-least-once"
    return {
        "redis": lambda: redis_pubsub(url, got),
        "redis-streams": lambda: redis_streams(url, got),
        "nats": lambda: nats_core(url, got),
        "nats-jetstream": lambda: nats_jetstream(url, got),
        "postgres": lambda: postgres_notify(url, got),
        "postgres-outbox": lambda: postgres_outbox(url, got),
        "mqtt": lambda: mqtt(url, got, 1 if at_least_once else 0),
        "amqp": lambda: amqp(url, got, at_least_once),
        "rabbitmq-stream": lambda: amqp_stream(url, got),
    }[adapter]()
