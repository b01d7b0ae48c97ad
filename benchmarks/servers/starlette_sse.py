"""The usual library: `python -m benchmarks.servers.starlette_sse PORT`, sse-starlette on uvicorn with a queue per client and its defaults."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.servers.stdin_lines import follow_stdin

queues: set[asyncio.Queue[str]] = set()


def broadcast(line: bytes) -> None:
    text = line.decode()
    for queue in queues:
        queue.put_nowait(text)


async def events() -> AsyncIterator[dict[str, str]]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)
    try:
        yield {"comment": "open"}
        while True:
            yield {"data": await queue.get()}
    finally:
        queues.discard(queue)


async def sse(_: Request) -> EventSourceResponse:
    return EventSourceResponse(events())


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    task = asyncio.create_task(follow_stdin(broadcast))
    yield
    task.cancel()


if __name__ == "__main__":
    app = Starlette(routes=[Route("/sse", sse)], lifespan=lifespan)
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=4096)
