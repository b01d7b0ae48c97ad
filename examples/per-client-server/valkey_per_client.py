"""Redis or Valkey pub/sub with a subscription, and so a connection to the broker, for each client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import redis.asyncio as redis
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from measured import BROKER_URL, HEADERS, add_measuring, as_text, client, delivered, stamped

app = FastAPI()
add_measuring(app)
# redis-py 8 allows 100 connections by default: the 101st client would get nothing.
broker = redis.from_url(BROKER_URL, decode_responses=True, max_connections=100_000)


async def event_stream(topic: str) -> AsyncIterator[str]:
    """One client's events."""
    pubsub = broker.pubsub()
    await pubsub.subscribe(topic)
    try:
        with client(topic):
            async for message in pubsub.listen():
                if message["type"] == "message":
                    event = stamped(message["data"], topic)
                    delivered()
                    yield as_text(event)
    finally:
        await pubsub.unsubscribe(topic)
        await pubsub.aclose()


@app.get("/sse")
async def sse(topic: str = "events") -> StreamingResponse:
    """The events of a topic."""
    return StreamingResponse(event_stream(topic), media_type="text/event-stream", headers=HEADERS)
