"""Requests each replica's clock on a kept connection: ten times a second, or once a second if it is this host's clock.

One connection for each address is enough if it leads to one replica, or through a proxy that sends each request to another one. A balancer of
connections, such as a Service of Kubernetes, sends all requests of a connection to one replica: further connections then seek the others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from itertools import cycle
from time import monotonic, time_ns

import gevent
from gevent import socket

from core.contracts.clock import (
    CLOCK_AGAIN_S,
    CLOCK_ANSWER_BYTES,
    CLOCK_ANSWER_S,
    CLOCK_EVERY_S,
    HOST_CLOCK_HEADER,
    ClockReading,
)
from core.contracts.codec import DocumentError, decode
from core.endpoint.origin import Origin
from core.host_clock import HostClock
from load.clocks import KnownClocks
from load.connection_pool import ReplicaAddress
from load.http1 import ChunkedBody, Http1Error, ResponseHead, split_head

ONE_CLOCK_EVERY_S = 1.0
FIRST = 10
"""The first requests follow one another immediately, so that a proxy leads to each replica before the first event counts."""
FIRST_EVERY_S = 0.02
LEAST_S = 0.01
WAIT_S = 1.0
"""The first events wait this long to be counted if the clock of a replica is not known yet."""
SEEK_S = 0.02
LONGEST_SEEK_S = 1.0
SLOWER = 1.05
"""By how much longer the wait is after a connection that led to no other replica."""


class NoClockError(Exception):
    """There is no `GET /clock` at this address."""


class Probes:
    """A greenlet for each connection, from the first client to the end of the test.

    `servers` are the names of the replicas that have clients, and may grow.
    """

    def __init__(self, known: KnownClocks, servers: Collection[str] = ()) -> None:
        self._known = known
        self._servers = servers
        self._greenlets: list[gevent.Greenlet] = []
        self._connections: set[ClockConnection] = set()
        self._unsettled = 0
        self._until_s = 0.0

    def start(self, addresses: Sequence[ReplicaAddress]) -> None:
        """Begin, unless it has begun."""
        if self._until_s:
            return
        self._until_s = monotonic() + WAIT_S
        self._unsettled = len(addresses)
        self._greenlets = [gevent.spawn(self._follow, address) for address in addresses]
        self._greenlets.append(gevent.spawn(self._seek, addresses))

    def waiting(self) -> bool:
        """Whether clocks are still unknown and the wait is not over."""
        if monotonic() >= self._until_s or self._known.nothing_to_compare:
            return False
        return self._unsettled > 0 or self._known.lacks(self._servers, time_ns())

    def stop(self) -> None:
        """End."""
        gevent.killall(self._greenlets, block=False)
        self._greenlets = []

    def _follow(self, address: ReplicaAddress) -> None:
        """Ask at this address on a kept connection, and open it again whenever it ends."""
        asked = 0
        while True:
            before = asked
            try:
                with ClockConnection(address) as connection:
                    self._connections.add(connection)
                    try:
                        while True:
                            heard = connection.ask(self._known)
                            asked += 1
                            self._unsettled -= asked == FIRST
                            gevent.sleep(FIRST_EVERY_S if asked < FIRST else self._pause_s(heard))
                    finally:
                        self._connections.discard(connection)
            except NoClockError:
                self._known.without_clock = True
                self._unsettled -= asked < FIRST
                return
            except (OSError, Http1Error):
                # A proxy may close each connection after its answer: then the next request is due as usual.
                gevent.sleep(CLOCK_AGAIN_S if asked == before else 0)

    def _seek(self, addresses: Sequence[ReplicaAddress]) -> None:
        """Open further connections while there are replicas with clients that no connection leads to, and keep those that lead to one."""
        pause_s = SEEK_S
        for address in cycle(addresses):
            gevent.sleep(pause_s)
            settled = self._unsettled <= 0 or monotonic() > self._until_s
            if not settled or self._known.nothing_to_compare or not self._known.lacks(self._servers, time_ns()):
                pause_s = CLOCK_EVERY_S
                continue
            try:
                found = self._leads_to_another(address)
            except (OSError, Http1Error, NoClockError):
                found = False
            pause_s = SEEK_S if found or pause_s == CLOCK_EVERY_S else min(LONGEST_SEEK_S, SLOWER * pause_s)

    def _leads_to_another(self, address: ReplicaAddress) -> bool:
        """Whether a further connection leads to a replica that no other one leads to; it is then kept."""
        with ExitStack() as stack:
            connection = stack.enter_context(ClockConnection(address))
            if connection.ask(self._known) <= {name for one in self._connections for name in one.heard}:
                return False
            self._connections.add(connection)
            self._greenlets.append(gevent.spawn(self._keep, connection, stack.pop_all()))
            return True

    def _keep(self, connection: ClockConnection, stack: ExitStack) -> None:
        """Ask on this connection until it ends."""
        with stack:
            try:
                while True:
                    gevent.sleep(self._pause_s(connection.ask(self._known)))
            except (OSError, Http1Error, NoClockError):
                return
            finally:
                self._connections.discard(connection)

    def _pause_s(self, heard: set[str]) -> float:
        """Return the seconds until the next request on a connection that leads to these replicas."""
        replicas = self._known.replicas
        if all(replicas[server].one for server in heard):
            return ONE_CLOCK_EVERY_S
        return max(LEAST_S, CLOCK_EVERY_S / len(heard))


class ClockConnection:
    """A connection only for clock requests."""

    def __init__(self, address: ReplicaAddress) -> None:
        self._address = address
        self._request = _request(address.origin)
        self.heard: set[str] = set()
        """The replicas that have answered on it."""

    def __enter__(self) -> ClockConnection:
        self._sock = socket.socket(self._address.family, socket.SOCK_STREAM)
        self._sock.settimeout(CLOCK_ANSWER_S)
        try:
            self._sock.connect(self._address.sockaddr)
            if self._address.family != socket.AF_UNIX:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self._sock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(self, known: KnownClocks) -> set[str]:
        """Send one request; return the replicas that have answered on this connection.

        Raises:
            NoClockError: there is no clock. OSError, Http1Error: there was no answer this time.
        """
        left_ns = time_ns()
        self._sock.sendall(self._request)
        data = self._sock.recv(CLOCK_ANSWER_BYTES)
        back_ns = time_ns()  # with the first byte: it read its clock before that
        head, body = self._rest_of(data)
        if head.status >= 500 or head.status == 429:
            raise Http1Error(f"status {head.status}")
        try:
            reading = decode(ClockReading, body, "/clock")
        except DocumentError as error:
            raise NoClockError from error
        clock = HostClock.parse(head.headers.get(HOST_CLOCK_HEADER, ""))
        known.heard(reading.server, clock, (left_ns, reading.now_ns, back_ns))
        self.heard.add(reading.server)
        return self.heard

    def _rest_of(self, data: bytes) -> tuple[ResponseHead, bytes]:
        while (split := split_head(data, complete=not data)) is None:
            data += self._read()
        head, rest = split
        if head.status >= 400 and head.status not in (429, 500, 502, 503, 504):
            raise NoClockError
        if head.status == 200 and not head.headers.get("content-type", "").startswith("application/json"):
            raise NoClockError  # if a server streams events on any path, the response never ends
        if head.chunked:
            framing = ChunkedBody()
            pieces = framing.feed(rest)
            while not framing.ended and sum(map(len, pieces)) <= CLOCK_ANSWER_BYTES:
                pieces += framing.feed(self._read())
            return head, b"".join(pieces)
        length = head.headers.get("content-length", "")
        if not length.isdigit() or int(length) > CLOCK_ANSWER_BYTES:
            raise NoClockError
        while len(rest) < int(length):
            rest += self._read()
        return head, rest

    def _read(self) -> bytes:
        data: bytes = self._sock.recv(CLOCK_ANSWER_BYTES)
        if not data:
            raise Http1Error("closed before it answered")
        return data


def _request(origin: Origin) -> bytes:
    return (
        f"GET {origin.prefix}/clock HTTP/1.1\r\nHost: {origin.authority}\r\nAccept: application/json\r\n\r\n".encode()
    )
