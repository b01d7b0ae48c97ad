"""Runs uvicorn around the replica: signals, the listening socket, and the settings of the process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn
import uvloop

from brokers.api import Adapter
from brokers.endpoint import Endpoint
from core.errors import FanbenchError, TransientError, UsageError
from server.app import create_app
from server.connection_limits import ConnectionLimits
from server.protocol import StreamProtocol
from server.replica import Replica
from server.settings import ServerSettings
from server.websocket import MAX_MESSAGE_BYTES, SocketProtocol

BACKLOG = 8192
SPARE_CONNECTIONS = 64
"""Connections in addition to the clients', for /stats and similar."""
UNACKNOWLEDGED_MS = 60_000
"""A client that acknowledges nothing for this long counts as gone, even if its kernel still answers."""

_log = logging.getLogger("fanbench.server")


class ReplicaServer(uvicorn.Server):
    """uvicorn's server; at SIGTERM and SIGINT it ends the streams, finishes open requests, and returns."""

    replica: Replica | None = None
    failure: FanbenchError | None = None
    _stopping = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the loop without raising them again: a clean stop exits with 0."""
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self.stop)
        yield

    def stop(self) -> None:
        """Begin to stop; a second signal ends the remaining streams at once."""
        if self.replica is None or self._stopping:
            self._end()
        else:
            self._stopping = True
            self.replica.begin_stop(self._end)

    def fail(self, error: FanbenchError) -> None:
        """Stop at once, for this reason."""
        self.failure = self.failure or error
        self._end()

    def _end(self) -> None:
        if self.replica is not None:
            self.replica.end_streams()
        self.should_exit = True


def listen(host: str, port: int, send_buffer_bytes: int) -> socket.socket:
    """A listening socket; connections inherit its options.

    Raises:
        UsageError: the address cannot be listened on. TransientError: the address is in use.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if send_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        words = f"cannot listen on {host}:{port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            raise TransientError(f"{words}; is another replica running? choose another with FANBENCH_PORT") from error
        raise UsageError(f"{words}; check FANBENCH_HOST and FANBENCH_PORT") from error
    return sock


async def serve(
    settings: ServerSettings, broker: tuple[Adapter, Endpoint], sock: socket.socket
) -> FanbenchError | None:
    """Serve until a signal arrives; return the reason if it had to stop."""
    name = settings.server_name(sock.getsockname()[1])
    connection_limits = ConnectionLimits(settings.max_clients + SPARE_CONNECTIONS, asyncio.get_running_loop())

    def make_replica() -> Replica:
        server.replica = Replica(settings, name, broker, connection_limits, server.fail)
        return server.replica

    config = uvicorn.Config(
        create_app(settings, make_replica),
        http=functools.partial(StreamProtocol, connection_limits),  # type: ignore[arg-type]
        ws=SocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=None,  # the hub's heartbeat pings, without a timer for each client
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=settings.access_log,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=3,
    )
    server = ReplicaServer(config)
    host, port = sock.getsockname()[:2]
    _log.info("%s serves on http://%s:%d, broker %s", name, f"[{host}]" if ":" in host else host, port, broker[1])
    # Exclude existing objects: a garbage collection over them and every client would delay events.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await server.serve([sock])
    return server.failure


def run(settings: ServerSettings, broker: tuple[Adapter, Endpoint]) -> None:
    """Listen and serve until SIGTERM or SIGINT.

    Raises:
        UsageError: the address cannot be listened on. TransientError: the address is in use. BrokerError: the
            broker does not answer, or refuses.
    """
    sock = listen(settings.host, settings.port, settings.send_buffer_bytes)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        failure = runner.run(serve(settings, broker, sock))
    if failure is not None:
        raise failure
