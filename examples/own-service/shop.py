"""Your own service, on Starlette and sse-starlette: prices of a shop with numbers and times.

`python shop.py [PORT]`.
"""

import asyncio
import json
import sys
import time

import uvicorn
from sse_starlette.sse import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.routing import Route

EVENTS_PER_S = 20
listeners: set[asyncio.Queue] = set()


async def publish() -> None:
    """Send each price to each listener."""
    number = 0
    while True:
        data = json.dumps({"price": 100 + number % 7, "ts": int(time.time() * 1000)})
        for queue in listeners:
            queue.put_nowait(ServerSentEvent(data=data, id=f"shop-{number}"))
        number += 1
        await asyncio.sleep(1 / EVENTS_PER_S)


async def events(_request) -> EventSourceResponse:
    """One listener's stream."""
    queue: asyncio.Queue = asyncio.Queue()
    listeners.add(queue)

    async def stream():
        try:
            while True:
                yield await queue.get()
        finally:
            listeners.discard(queue)

    return EventSourceResponse(stream())


async def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8001
    app = Starlette(routes=[Route("/events/{topic}", events)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    publishing = asyncio.create_task(publish())
    await server.serve()
    publishing.cancel()


asyncio.run(main())
