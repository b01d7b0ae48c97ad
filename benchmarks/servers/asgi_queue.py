"""The obvious first version: `python -m benchmarks.servers.asgi_queue PORT`, a raw ASGI application on uvicorn with a queue and a task per client."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn

from benchmarks.servers.stdin_lines import follow_stdin

QUEUE_EVENTS = 1000
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
queues: set[asyncio.Queue[bytes]] = set()
tasks: set[asyncio.Task[None]] = set()


def broadcast(line: bytes) -> None:
    body = b"data: %b\n\n" % line
    for queue in queues:
        queue.put_nowait(body)


async def left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def pump(queue: asyncio.Queue[bytes], send: Any) -> None:
    while True:
        await send({"type": "http.response.body", "body": await queue.get(), "more_body": True})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        tasks.add(asyncio.create_task(follow_stdin(broadcast)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return
    queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_EVENTS)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    # uvicorn sends the head with the first body.
    await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
    queues.add(queue)
    work = asyncio.create_task(pump(queue, send))
    try:
        await left(receive)
    finally:
        queues.discard(queue)
        work.cancel()


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=4096)
