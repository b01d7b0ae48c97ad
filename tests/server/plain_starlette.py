"""The same routes in ordinary Starlette, to compare with a replica's answers: `python -m tests.server.plain_starlette PORT`."""

import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from core.resources import resource_folder


async def events(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b": open\nretry: 1000\n\n"
        while not await request.is_disconnected():
            yield b": beat\n"

    return StreamingResponse(body(), media_type="text/event-stream")


async def text(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def document(_: Request) -> Response:
    return JSONResponse({})


if __name__ == "__main__":
    routes = [Route("/sse", events), Route("/healthz", text)]
    routes += [Route(path, document) for path in ("/readyz", "/stats", "/metrics")]
    app = Starlette(routes=[*routes, Mount("/", StaticFiles(directory=resource_folder("ui"), html=True))])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
