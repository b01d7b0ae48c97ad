"""Requests each replica's clock on a kept connection: ten times a second, or once a second if it is this host's clock."""

from __future__ import annotations

from collections.abc import Sequence
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
"""The first events wait this long to be counted if no replica has answered yet."""


class NoClockError(Exception):
    """There is no `GET /clock` at this address."""


class Probes:
    """One greenlet for each address, from the first client to the end of the test."""

    def __init__(self, known: KnownClocks) -> None:
        self._known = known
        self._greenlets: list[gevent.Greenlet] = []
        self._unsettled = 0
        self._until_s = 0.0

    def start(self, addresses: Sequence[ReplicaAddress]) -> None:
        """Begin, unless it has begun."""
        if self._until_s:
            return
        self._until_s = monotonic() + WAIT_S
        self._unsettled = len(addresses)
        self._greenlets = [gevent.spawn(self._follow, address) for address in addresses]

    def waiting(self) -> bool:
        """Whether clocks are still unknown and the wait is not over."""
        return self._unsettled > 0 and monotonic() < self._until_s

    def stop(self) -> None:
        """End."""
        gevent.killall(self._greenlets, block=False)
        self._greenlets = []

    def _follow(self, address: ReplicaAddress) -> None:
        settled = False
        while True:
            try:
                with ClockConnection(address) as connection:
                    for asked in range(1_000_000_000):
                        heard = connection.ask(self._known)
                        if not settled and asked >= FIRST:
                            settled = True
                            self._unsettled -= 1
                        gevent.sleep(FIRST_EVERY_S if asked < FIRST else self._pause_s(heard))
            except NoClockError:
                self._known.without_clock = True
                self._unsettled -= not settled
                return
            except (OSError, Http1Error):
                gevent.sleep(CLOCK_AGAIN_S)

    def _pause_s(self, heard: set[str]) -> float:
        """Return the seconds until the next request to an address that leads to these replicas."""
        replicas = self._known.replicas
        if all(replicas[server].one for server in heard):
            return ONE_CLOCK_EVERY_S
        return max(LEAST_S, CLOCK_EVERY_S / len(heard))


class ClockConnection:
    """A connection only for clock requests."""

    def __init__(self, address: ReplicaAddress) -> None:
        self._address = address
        self._request = _request(address.origin)
        self._heard: set[str] = set()

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
        self._heard.add(reading.server)
        return self._heard

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
