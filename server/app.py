"""The HTTP side of a replica: routes, refusals and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from core.clock import now_ns
from core.contracts.clock import ClockReading
from core.contracts.codec import encode
from core.resources import resource_folder
from server.auth import admit, check, require_token
from server.clock import answer_clock
from server.metrics import Metrics
from server.origins import ANY, REQUEST_HEADERS, read_origins
from server.page import page_files
from server.replica import Replica
from server.settings import ServerSettings
from server.stats import stats
from server.stream import EventStream, stream_head
from server.websocket import require_origin, require_transport, serve_socket

UI = resource_folder("ui")
_NO_PAGE = "fanbench replica. GET /sse streams events; /stats, /metrics, /healthz and /readyz report its state.\n"
_NOT_STARTED = (
    "this replica was never started: the server around it does not run the application's ASGI lifespan; turn it on, or run it in "
    "the application that mounts this one"
)
_QUERY = [
    ("topic", "a topic to listen to; may be repeated (default: events)"),
    ("last_event_id", "STREAM-SEQ of the event got last, or TOPIC:STREAM-SEQ; may be repeated"),
    ("heartbeat", "interval of `event: heartbeat`, in whole seconds"),
    ("token", "the bearer token, if no header can be sent"),
]
_STREAM_API: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "description": words, "schema": {"type": "array", "items": {"type": "string"}}}
        for name, words in _QUERY
    ]
    + [{"name": "Last-Event-ID", "in": "header", "description": _QUERY[1][1], "schema": {"type": "string"}}]
}


def create_app(settings: ServerSettings, make_replica: Callable[[], Replica]) -> ASGIApp:
    """The ASGI application; it creates its replica at startup, in the loop that serves it."""
    app = open_streams_first(create_api(make_replica), settings.root_path)
    origins = read_origins(settings.cors_origins)
    return let_read(app, origins) if origins else app


def let_read(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins read the responses. Credentials are allowed only if the origins are named."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "HEAD"],
        allow_headers=REQUEST_HEADERS,
        allow_credentials=ANY not in origins,
        expose_headers=["Retry-After"],
    )


def open_streams_first(api: FastAPI, prefix: str) -> ASGIApp:
    """FastAPI's application, which opens streams without its middleware stack.

    Each path works with and without the prefix. A stream needs no exit stacks, dependency resolution, body limit or
    route search. They are a third of a connection's cost before its first event (docs/decisions/0006).
    """
    paths = {"/sse", f"{prefix}/sse"}
    clocks = {"/clock", f"{prefix}/clock"}
    to_page = RedirectResponse(f"{prefix}/")  # the page's links are relative to a path with a trailing slash

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await api(scope, receive, send)
            return
        if kind == "http" and not hasattr(api.state, "replica"):
            await _json({"error": _NOT_STARTED}, 503)(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))  # of an application around this one, or uvicorn's
        if kind == "http" and path in paths and scope["method"] in ("GET", "HEAD"):
            scope["app"] = api
            await _open_stream(scope, receive, send)
        elif kind == "http" and path in clocks and scope["method"] in ("GET", "HEAD"):
            await answer_clock(api.state.replica.name, scope, receive, send)
        elif kind == "http" and prefix and path == prefix:
            await to_page(scope, receive, send)
        else:
            if prefix:
                scope["root_path"] = prefix
            await api(scope, receive, send)

    return app


def create_api(make_replica: Callable[[], Replica]) -> FastAPI:
    """Everything except streams: routes, page and documentation."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        replica = app.state.replica = make_replica()
        app.state.metrics = Metrics(replica)
        replica.start()
        yield
        await replica.close()

    app = FastAPI(
        title="fanbench replica",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A replica has /metrics; FastAPI would call OpenTelemetry three times for each connection. An older FastAPI,
        # without OpenTelemetry, ignores the argument.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_exception_handler(StarletteHTTPException, _say_error)
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"description": words, "content": {"application/json": {"schema": {"type": "object"}}}}
        for code, words in (
            (400, "cannot be used"),
            (401, "token missing or wrong"),
            (403, "forbidden by the broker"),
            (503, "not now"),
        )
    }
    # Requests for a stream or a clock do not reach this route: it documents them and refuses other methods.
    app.get("/sse", responses=refusals, openapi_extra=_STREAM_API, response_model=None)(_sse)
    app.get("/clock")(_clock)
    app.get("/stats", responses={401: refusals[401]})(_stats)
    app.get("/metrics", responses={401: refusals[401]})(_metrics)
    app.get("/healthz")(_healthz)
    app.get("/readyz", responses={503: refusals[503]})(_readyz)
    app.websocket("/ws")(_ws)
    for path, endpoint in (("/stats", _stats), ("/metrics", _metrics), ("/healthz", _healthz), ("/readyz", _readyz)):
        app.head(path, include_in_schema=False)(endpoint)
    if (UI / "index.html").is_file():
        app.mount("/", page_files(UI))
    else:
        app.get("/", include_in_schema=False)(_no_page)
    return app


async def _open_stream(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    answer: ASGIApp
    try:
        answer = await (_sse(request) if scope["method"] == "GET" else _sse_head(request))
    except StarletteHTTPException as error:
        answer = await _say_error(request, error)
    await answer(scope, receive, send)


def _json(found: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(found), status, headers, "application/json")


async def _say_error(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return _json({"error": error.detail}, error.status_code, dict(error.headers or {}))


async def _sse(request: Request) -> EventStream:
    """Live events as Server-Sent Events; resumes after `Last-Event-ID`."""
    replica: Replica = request.app.state.replica
    return EventStream(replica.hub, replica.stream_settings, await admit(request, replica))


async def _ws(websocket: WebSocket) -> None:
    replica: Replica = websocket.app.state.replica
    try:
        require_transport(websocket)
        require_origin(websocket, replica.settings)
        client = await admit(websocket, replica)
    except HTTPException as error:
        await websocket.send_denial_response(await _say_error(websocket, error))
        return
    await serve_socket(websocket, replica.hub, replica.stream_settings, client)


async def _sse_head(request: Request) -> ASGIApp:
    """The head of a stream: the same checks, without subscribing."""
    replica: Replica = request.app.state.replica
    check(request, replica)
    return stream_head(replica.name)


async def _stats(request: Request) -> Response:
    """The replica's counters: received, delivered, dropped."""
    replica: Replica = request.app.state.replica
    require_token(request, replica.settings)
    return Response(encode(stats(replica)), media_type="application/json")


async def _metrics(request: Request) -> Response:
    """The replica's counters as Prometheus reads them."""
    require_token(request, request.app.state.replica.settings)
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _clock(request: Request) -> ClockReading:
    """This replica's wall clock, in nanoseconds; the header fanbench-clock says whose clock it is."""
    return ClockReading(server=request.app.state.replica.name, now_ns=now_ns())


async def _healthz() -> Response:
    """The process serves requests."""
    return PlainTextResponse("ok\n")


async def _readyz(request: Request) -> Response:
    """The broker has confirmed the subscriptions and is connected, within a grace period.

    503 otherwise, and when stopping.
    """
    replica: Replica = request.app.state.replica
    broker = replica.link.broker
    found: dict[str, object] = {"ready": False, "broker_connected": broker.connected}
    if replica.hub.stopping:
        return _json(found | {"error": "stopping"}, 503)
    if not replica.link.filled.is_set():
        return _json(found | {"error": f"not subscribed yet at {replica.endpoint}"}, 503)
    if not replica.link.ready:
        why = f"{replica.endpoint} is not connected for {broker.down_s:.0f} s: {broker.cause}"
        return _json(found | {"error": why}, 503)
    return _json(found | {"ready": True})


async def _no_page() -> Response:
    return PlainTextResponse(_NO_PAGE)
