"""State that the readers of a process share: where to connect, how many at a time, when to retry, and what to notify."""

from __future__ import annotations

import _socket  # the C type: Locust has replaced socket.socket with gevent's class, which has two watchers per socket
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from errno import EINPROGRESS
from typing import TYPE_CHECKING, Any

from core.endpoint.origin import Origin
from load.client_state import Counters
from load.connect_throttle import ConnectThrottle
from load.feed import Feed, Interpreter
from load.frames import UNKNOWN, SeriesRegistry, Source
from load.transport import Transport, WireFormat

if TYPE_CHECKING:
    from load.endpoint_access import EndpointAccess

DEFAULT_RETRY_S = 1.0
LONGEST_RETRY_S = 5.0
JITTER = 0.2


def retry_delay_s(retry_ms: int | None, failures: int, rng: random.Random) -> float:
    """The delay before a reconnect: the server's `retry:`, doubled for each later failure, at most 5 s, ±20% at random."""
    base = DEFAULT_RETRY_S if retry_ms is None else retry_ms / 1000
    return min(base * 2.0 ** min(failures, 16), max(base, LONGEST_RETRY_S)) * rng.uniform(1 - JITTER, 1 + JITTER)


SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""An address to connect to, as `socket.getaddrinfo` returns it."""


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """A replica as sockets see it: address family and address, resolved once."""

    origin: Origin
    family: int
    sockaddr: SocketAddress


def _from_anywhere(_: Any) -> None:
    """Let the system choose the source address."""


def _untold(_: int) -> None:
    """Nobody wants to know."""


def begin_connecting(address: ReplicaAddress, leave_from: Callable[[Any], None] = _from_anywhere) -> Any:
    """A socket that is connecting to the address; `leave_from` may bind it to a source address.

    Raises:
        OSError: the connect failed at once.
    """
    sock = _socket.socket(address.family, _socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        leave_from(sock)
    except OSError:
        sock.close()
        raise
    code = sock.connect_ex(address.sockaddr)
    if code not in (0, EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


@dataclass(slots=True)
class ConnectionPool:
    """What all readers of a process share."""

    loop: Any
    addresses: Sequence[ReplicaAddress]
    transport: Transport
    registry: SeriesRegistry
    counters: Counters
    on_connect: Callable[[int, str], None]
    """Called with each attempt's duration in nanoseconds, and the failure or ''."""
    on_break: Callable[[str], None]
    """Called with the reason when a stream ends."""
    on_turn: Callable[[int], None] = _untold
    """Called with the nanoseconds that an attempt waited for its turn."""
    token: str = ""
    access: EndpointAccess | None = None
    """The access to an endpoint, if the clients are not at our replicas."""
    interpreter: Interpreter | None = None
    """Reads events; default: the registry."""
    compact: bool = False
    """Whether stamps are compact and omit what the connection already says."""
    apart: bool = False
    """Whether clients rarely get the same bytes."""
    leave_from: Callable[[Any], None] = _from_anywhere
    gate: ConnectThrottle = field(default_factory=ConnectThrottle)
    rng: random.Random = field(default_factory=random.Random)
    had_clients: set[tuple[str, str]] = field(default_factory=set)
    """The (server, topic) pairs that have had a client."""
    servers: set[str] = field(default_factory=set)
    """The names of the replicas that have answered a client."""
    feeds: dict[tuple[WireFormat, Source, bool], Feed] = field(default_factory=dict)

    def feed(self, wire_format: WireFormat, server: str, topic: str) -> Feed:
        """Return the feed that readers of such connections share: one for all addresses, unless events need the server and the topic to be understood."""
        if server:
            self.servers.add(server)
        source = Source(server, topic) if self.compact else UNKNOWN
        if self.apart:
            return Feed(self.registry, wire_format, source, remember=False)
        return self._shared_feed(wire_format, source, (server, topic))

    def endpoint_feed(self, wire_format: WireFormat, topic: str, connection: str, *, shared: bool) -> Feed:
        """Return the feed that readers of such a topic at the endpoint share, unless their bytes or their numbers are their own."""
        source = Source("", topic, connection)
        if connection or not shared:
            return Feed(self.interpreter or self.registry, wire_format, source, remember=False)
        return self._shared_feed(wire_format, source, ("", topic))

    def _shared_feed(self, wire_format: WireFormat, source: Source, place: tuple[str, str]) -> Feed:
        # A topic's first client at a server may remain the only one, so its reads need not be cached.
        remember = place in self.had_clients
        self.had_clients.add(place)
        key = wire_format, source, remember
        found = self.feeds.get(key)
        if found is None:
            interpreter = self.interpreter or self.registry
            found = self.feeds[key] = Feed(interpreter, wire_format, source, remember=remember)
        return found
