"""A typical hub with FastAPI and sse-starlette: `python examples/hubs/sse_starlette_hub.py PORT`.

POST /publish?topic=T sends to everybody at /sse?topic=T, and numbers the events of each topic. Each client has its own
queue. It imports nothing from fanbench.
"""

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from sse_starlette import EventSourceResponse

app = FastAPI()
queues: defaultdict[str, set[asyncio.Queue[dict[str, Any]]]] = defaultdict(set)
published: Counter[str] = Counter()


async def stream(topic: str) -> AsyncIterator[dict[str, Any]]:
    """One client's events."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    queues[topic].add(queue)
    try:
        yield {"comment": "open"}
        while True:
            yield await queue.get()
    finally:
        queues[topic].discard(queue)


@app.get("/sse")
async def sse(topic: str) -> EventSourceResponse:
    """An endless stream."""
    return EventSourceResponse(stream(topic))


@app.post("/publish", status_code=202)
async def publish(topic: str, request: Request) -> dict[str, int]:
    """Send an event to all clients and return their number."""
    published[topic] += 1
    event = {"data": (await request.body()).decode(), "id": str(published[topic])}
    for queue in queues[topic]:
        queue.put_nowait(event)
    return {"clients": len(queues[topic])}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=4096)
