"""The application for other ASGI servers: `uvicorn server.asgi:app --workers 2`, `hypercorn server.asgi:app`.

Only the environment configures it. Such a server exposes no transport, so every stream uses its `send`: the same events
at two to three times the CPU, and no WebSocket. `python -m server` is the way to run one replica fast.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from types import FrameType

from starlette.types import ASGIApp

from brokers.registry import open_endpoint
from core.errors import FanbenchError
from core.settings import exit_with, read_settings
from server.app import create_app
from server.connection_limits import ConnectionLimits
from server.logs import set_up_logging
from server.replica import Replica
from server.settings import ServerSettings

_log = logging.getLogger("fanbench.server")


def make_app(settings: ServerSettings) -> ASGIApp:
    """The application of one worker.

    Raises:
        FanbenchError: the broker's URL or delivery cannot be used.
    """
    broker = open_endpoint(settings.broker_url, settings.delivery)
    # Workers share the settings and the port: without the process they could not be distinguished.
    name = settings.server or f"{socket.gethostname()}:{os.getpid()}"

    def make_replica() -> Replica:
        loop = asyncio.get_running_loop()
        replica = Replica(settings, name, broker, ConnectionLimits(settings.max_clients, loop), _end_worker)
        _stop_with_server(replica, loop)
        return replica

    return create_app(settings, make_replica)


def _end_worker(error: FanbenchError) -> None:
    _log.error("%s", error)
    os.kill(os.getpid(), signal.SIGTERM)


def _stop_with_server(replica: Replica, loop: asyncio.AbstractEventLoop) -> None:
    """At SIGTERM and SIGINT, end the streams too: the server waits for them, and they would never end."""

    def chain(sig: signal.Signals) -> None:
        before = signal.getsignal(sig)

        def go_on() -> None:
            if before is signal.SIG_DFL:
                signal.signal(sig, signal.SIG_DFL)
                os.kill(os.getpid(), sig)

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(replica.begin_stop, go_on)
            if callable(before):
                before(number, frame)

        signal.signal(sig, handle)

    for sig in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(sig) is not signal.SIG_IGN:
            chain(sig)


def _app() -> ASGIApp:
    try:
        settings = read_settings(ServerSettings)
        set_up_logging(settings)
        return make_app(settings)
    except FanbenchError as error:
        exit_with(error)


app = _app()
