"""What a reader does in addition at an endpoint: handshake, redirects, refusals, notes of gaps, whole answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time_ns
from typing import Any, Protocol

import gevent

from core.endpoint.tls import why_lost
from load.answers import Redirect, RefusalError, Stop
from load.client_state import StreamState
from load.connection_pool import ConnectionPool, ReplicaAddress
from load.endpoint_access import BodyShape, EndpointAccess
from load.exchange import READ, Exchange
from load.feed import Feed
from load.frames import Event, Item
from load.http1 import Http1Error
from load.links import StreamLink
from load.stream_times import StreamNotes


class Attempt(Protocol):
    """The part of the reader that an endpoint needs."""

    started_ns: int
    closed: bool

    def connect(self) -> None: ...

    def dial(self, address: ReplicaAddress) -> None: ...

    def watch(self, events: int, callback: Callable[[], None]) -> None: ...

    def begin_stream(self, feed: Feed, rest: bytes, now_ns: int) -> None: ...

    def hang_up(self) -> None: ...

    def fail(self, reason: str, wait_s: float | None = None) -> None: ...

    def stop(self, reason: str) -> None: ...


class EndpointSide:
    """The endpoint's part of one reader."""

    __slots__ = (
        "_access",
        "_ends_with_connection",
        "_exchange",
        "_pool",
        "_reader",
        "_state",
        "_user",
        "link",
        "notes",
    )

    def __init__(
        self, reader: Attempt, state: StreamState, pool: ConnectionPool, access: EndpointAccess, user: int
    ) -> None:
        self._reader = reader
        self._state = state
        self._pool = pool
        self._access = access
        self._user = user
        self._exchange: Exchange
        self._ends_with_connection = False
        self.link: StreamLink
        self.notes = StreamNotes(access.times)

    @property
    def pause_s(self) -> float:
        """How long the client waits after a complete answer."""
        return self._access.endpoint.pause_s

    def begin(self, address: ReplicaAddress, last_event_id: str) -> None:
        """Begin an attempt."""
        self._exchange = Exchange(self._access, address, self._state.topic, self._user, last_event_id)

    def connected(self, sock: Any) -> None:
        """Continue after the socket has connected."""
        self._exchange.begin(sock)
        self._advance()

    def _advance(self) -> None:
        try:
            waits_for = self._exchange.advance()
        except OSError as error:
            self._reader.fail(why_lost(error))
            return
        if waits_for:
            self._reader.watch(waits_for, self._advance)
        else:
            self._reader.watch(READ, self._on_answer)

    def _on_answer(self) -> None:
        try:
            split = self._exchange.answer()
            if split is None:
                return
            outcome = self._exchange.judge(split[0])
        except OSError as error:
            self._reader.fail(why_lost(error))
        except Http1Error as error:
            self._reader.fail(str(error), error.wait_s if isinstance(error, RefusalError) else None)
        else:
            self._obey(outcome, split[1])

    def _obey(self, outcome: Redirect | Stop | BodyShape, rest: bytes) -> None:
        if isinstance(outcome, Redirect):
            self._reader.hang_up()
            gevent.spawn(self._follow, self._exchange, outcome)
        elif isinstance(outcome, Stop):
            self._reader.stop("status 204 No Content: the server says stop")
        else:
            self._begin_stream(outcome, rest)

    def _follow(self, exchange: Exchange, redirect: Redirect) -> None:
        """Follow a redirect, in a greenlet because a name server may have to answer."""
        try:
            address = exchange.follow(redirect)
        except RefusalError as error:
            if self._is_on(exchange):
                self._reader.fail(str(error))
            return
        if self._is_on(exchange):
            self._reader.dial(address)

    def _is_on(self, exchange: Exchange) -> bool:
        """Whether that attempt still runs."""
        return exchange is self._exchange and self._reader in self._pool.gate.under_way and not self._reader.closed

    def _begin_stream(self, shape: BodyShape, rest: bytes) -> None:
        now_ns = time_ns()
        self.link = self._exchange.link
        self._ends_with_connection = shape.ends_with_connection
        connection = self._access.next_connection()
        feed = self._pool.endpoint_feed(shape.wire_format, self._state.topic, connection, shared=shape.shared)
        self.notes.opened(self._reader.started_ns, now_ns)
        self._reader.begin_stream(feed, rest, now_ns)

    def heard_next(self, size_bytes: int, now_ns: int) -> None:
        """Note an event that arrived alone."""
        notes, times = self.notes, self._access.times
        gap_ns = now_ns - notes.since_ns
        if gap_ns > notes.longest_ns:
            notes.quiet_until(now_ns)
        notes.since_ns = now_ns
        times.gap_ns.append(gap_ns)
        times.received_bytes += size_bytes

    def heard(self, items: Iterable[Item], size_bytes: int, now_ns: int) -> None:
        """Note the events of one read."""
        self._access.times.received_bytes += size_bytes
        count = sum(isinstance(item, Event) for item in items)
        if count:
            self.notes.heard(count, now_ns)

    def why_broken(self, reason: str, *, in_good_order: bool) -> str:
        """Return why the answer is incomplete at the end of the stream; '' if it is complete."""
        if not self._exchange.posts:
            return reason
        if end := self._access.endpoint.dialect.end:
            return f"ended without {end[:40]!r}"
        return "" if in_good_order or self._ends_with_connection else reason
