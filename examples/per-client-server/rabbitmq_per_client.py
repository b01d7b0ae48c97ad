"""RabbitMQ with a connection, a channel and an exclusive queue for each client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from measured import BROKER_URL, HEADERS, add_measuring, as_text, client, delivered, stamped

app = FastAPI()
add_measuring(app)


async def event_stream(topic: str) -> AsyncIterator[str]:
    """One client's events."""
    connection = await aio_pika.connect_robust(BROKER_URL)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("fanbench", aio_pika.ExchangeType.DIRECT, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, routing_key=topic)
        with client(topic):
            async with queue.iterator() as messages:
                async for message in messages:
                    async with message.process():
                        event = stamped(message.body.decode(), topic)
                        delivered()
                        yield as_text(event)


@app.get("/sse")
async def sse(topic: str = "events") -> StreamingResponse:
    """The events of a topic."""
    return StreamingResponse(event_stream(topic), media_type="text/event-stream", headers=HEADERS)
