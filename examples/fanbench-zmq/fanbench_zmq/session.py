"""A connection to the forwarder: the only file that knows pyzmq."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from brokers.sdk import Calls, Endpoint, finish, heartbeat_s
from fanbench_zmq.wire import pack, subscription, unpack, unsubscription

ERRORS = (zmq.ZMQError, OSError)
"""What pyzmq raises."""
PORT = 5555
_UP, _DOWN = zmq.Event.HANDSHAKE_SUCCEEDED, zmq.Event.DISCONNECTED
_FAILED = zmq.Event.CLOSED | zmq.Event.CONNECT_RETRIED | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
_FAILED |= zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_AUTH
_WATCHED = _UP | _DOWN | _FAILED


@dataclass(eq=False)
class ZmqSession:
    """One XSUB socket, which keeps frames and their echoes in order. ZeroMQ confirms nothing.

    But a message to the session's own topic comes back when the forwarder has handled everything sent before:
    subscriptions and messages. That echo is the confirmation.
    """

    socket: Any
    monitor: Any
    endpoint: Endpoint
    take: Callable[[str, bytes], None] | None = None
    """Called with topic and payload of each message."""
    _echo: str = field(default_factory=lambda: f"echo-{secrets.token_hex(8)}")
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _cause: str = "closed by the forwarder"
    _running: asyncio.Task[None] | None = None

    async def confirmed(self, frames: Iterable[bytes]) -> None:
        """Send frames; return once the forwarder has handled them.

        Raises:
            ConnectionError: the connection is gone.
        """
        if self.socket.closed:
            raise ConnectionError(self._cause)
        for frame in frames:
            await self.socket.send(frame)
        echo: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(echo)
        await self.socket.send(pack(self._echo, b""))
        await echo

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the forwarder has passed it to the subscribers' sockets."""
        await self.confirmed([pack(topic, payload)])

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Return once the forwarder has registered all of them."""
        async with asyncio.timeout(self.endpoint.timeout_s):
            await self.confirmed([subscription(topic) for topic in topics])

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Return once the forwarder has forgotten all of them."""
        async with asyncio.timeout(self.endpoint.timeout_s):
            await self.confirmed([unsubscription(topic) for topic in topics])

    async def serve(self) -> None:
        """Return or raise when the connection is gone."""
        assert self._running is not None
        await asyncio.wait([self._running])
        self._running.result()

    def begin(self) -> None:
        """Pass on what arrives: topics are subscribed again, and confirmed, before `serve` is called."""
        self._running = asyncio.create_task(self._run(), name=f"{self.endpoint} session")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._watch())
            tasks.create_task(self._beat())

    async def _read(self) -> None:
        while True:
            topic, payload = unpack(await self.socket.recv())
            if topic == self._echo:
                echo = self._waiting.popleft()
                if not echo.done():  # otherwise the caller was cancelled
                    echo.set_result(None)
            elif self.take is not None:
                self.take(topic, payload)

    async def _watch(self) -> None:
        while True:
            event = parse_monitor_message(await self.monitor.recv_multipart())["event"]
            if event & (_DOWN | _FAILED):
                raise ConnectionError(self._cause)

    async def _beat(self) -> None:
        """The library's own heartbeats end a silent connection; this one also detects a forwarder that hangs."""
        while True:
            await asyncio.sleep(heartbeat_s(self.endpoint))
            try:
                async with asyncio.timeout(self.endpoint.timeout_s):
                    await self.confirmed([])
            except TimeoutError:
                self._cause = f"no answer within {self.endpoint.timeout_s:g} s"
                raise ConnectionError(self._cause) from None

    async def hang_up(self) -> None:
        """Close the sockets, and fail the callers that wait for a confirmation."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.exception()  # `serve` has reported it, or will not be called
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)
        waiting, self._waiting = self._waiting, deque()
        for echo in waiting:
            if not echo.done():
                echo.set_exception(ConnectionError(self._cause))


async def dial(endpoint: Endpoint, take: Callable[[str, bytes], None] | None = None) -> ZmqSession:
    """Connect; leaves nothing open when it raises.

    Raises:
        OSError: the name is unknown, or nobody answers.
    """
    # ZeroMQ would resolve the name only once, and reconnect silently; we want neither.
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(endpoint.host, endpoint.port or PORT, type=socket.SOCK_STREAM)
    host, port = socket.getnameinfo(found[0][4], socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    session = _open(endpoint, take)
    try:
        session.socket.connect(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        await _until_up(session)
        session.begin()
        await session.socket.send(subscription(session._echo))
    except BaseException:
        await finish(session.hang_up())
        raise
    return session


async def _until_up(session: ZmqSession) -> None:
    while True:
        event = parse_monitor_message(await session.monitor.recv_multipart())["event"]
        if event & _UP:
            return
        if event & (_DOWN | _FAILED):
            raise ConnectionRefusedError(f"{session.endpoint.hosts[0]}: connection refused, or no ZeroMQ there")


def _open(endpoint: Endpoint, take: Callable[[str, bytes], None] | None) -> ZmqSession:
    opened: Any = zmq.asyncio.Context.instance().socket(zmq.XSUB)
    opened.sndhwm = opened.rcvhwm = 0  # the inbox is bounded, and this reads at once
    opened.reconnect_ivl = -1
    opened.heartbeat_ivl, opened.heartbeat_timeout = 1_000, 3_000
    return ZmqSession(opened, opened.get_monitor_socket(_WATCHED), endpoint, take)


def calls(take: Callable[[str, bytes], None] | None = None) -> Calls[ZmqSession]:
    """pyzmq for ProducerConnection and ConsumerConnection."""
    return Calls(lambda endpoint: dial(endpoint, take), ZmqSession.serve, ZmqSession.hang_up, ERRORS)
