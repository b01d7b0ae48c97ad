"""An sse-starlette app to compare the load with another reader: `python starlette_app.py PORT CLIENTS EVENTS`.

It sends its events once this many clients listen. Each event says that it was sent a second earlier, so the readers'
differences are small in comparison.
"""

import asyncio
import json
import sys
import time

import uvicorn
from sse_starlette.sse import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

PORT, CLIENTS, EVENTS = map(int, sys.argv[1:])
AGE_S = 1.0
PERIOD_S = 0.01
queues: list[asyncio.Queue] = []
running: set[asyncio.Task] = set()


async def publish():
    for number in range(EVENTS):
        data = json.dumps({"n": number, "ts": round((time.time() - AGE_S) * 1000, 3)})
        for queue in queues:
            queue.put_nowait(ServerSentEvent(data=data, id=f"shop-{number}"))
        await asyncio.sleep(PERIOD_S)


async def events(request):
    queue: asyncio.Queue = asyncio.Queue()

    async def wait():
        queues.append(queue)
        if len(queues) == CLIENTS:
            running.add(asyncio.create_task(publish()))
        while True:
            yield await queue.get()

    return EventSourceResponse(wait())


async def ready(request):
    return PlainTextResponse("ready")


app = Starlette(routes=[Route("/events/{topic}", events), Route("/ready", ready)])
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
