"""A typical hub with FastAPI alone, which has an EventSourceResponse since 0.135: `python examples/hubs/fastapi_hub.py PORT`.

POST /publish?topic=T sends to everybody at /sse?topic=T, and numbers the events of each topic. Each client has its own
queue. It imports nothing from fanbench.
"""

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()
queues: defaultdict[str, set[asyncio.Queue[ServerSentEvent]]] = defaultdict(set)
published: Counter[str] = Counter()


@app.get("/sse", response_class=EventSourceResponse)
async def sse(topic: str) -> AsyncIterator[ServerSentEvent]:
    """A stream without an end."""
    queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
    queues[topic].add(queue)
    try:
        yield ServerSentEvent(comment="open")
        while True:
            yield await queue.get()
    finally:
        queues[topic].discard(queue)


@app.post("/publish", status_code=202)
async def publish(topic: str, request: Request) -> dict[str, int]:
    """Send an event to all clients and return their number."""
    published[topic] += 1
    # `data` would be encoded as JSON again, into a quoted string.
    event = ServerSentEvent(raw_data=(await request.body()).decode(), id=str(published[topic]))
    for queue in queues[topic]:
        queue.put_nowait(event)
    return {"clients": len(queues[topic])}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=4096)
