"""sse-starlette with a queue for each client, behind one Redis or Valkey subscription for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
from fastapi import FastAPI
from measured import BROKER_URL, HEADERS, add_measuring, client, delivered, stamped
from sse_starlette import EventSourceResponse

broker = redis.from_url(BROKER_URL, decode_responses=True)
queues: defaultdict[str, set[asyncio.Queue[dict[str, str]]]] = defaultdict(set)


async def listen() -> None:
    """Put each event into the queue of every client of its topic."""
    pubsub = broker.pubsub()
    await pubsub.psubscribe("*")
    async for message in pubsub.listen():
        if message["type"] == "pmessage":
            event = stamped(message["data"], message["channel"])
            for queue in queues[message["channel"]]:
                queue.put_nowait(event)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Listen while the server runs."""
    task = asyncio.create_task(listen())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)
add_measuring(app)


async def event_stream(topic: str) -> AsyncIterator[dict[str, str]]:
    """One client's events."""
    queue: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    queues[topic].add(queue)
    try:
        with client(topic, subscribes=False):
            while True:
                event = await queue.get()
                delivered()
                yield event
    finally:
        queues[topic].discard(queue)


@app.get("/sse")
async def sse(topic: str = "events") -> EventSourceResponse:
    """The events of a topic."""
    return EventSourceResponse(event_stream(topic), headers=HEADERS)
