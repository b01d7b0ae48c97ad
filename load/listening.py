"""Shared state of the streams of a process's users, and what they report to Locust, whose environment is passed in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import gevent
import numpy as np
import numpy.typing as npt

from core.endpoint.origin import parse_origin
from core.endpoint.request import StreamEndpoint
from load.addresses import resolve
from load.client_state import Counters
from load.connect_throttle import ConnectThrottle
from load.connection_pool import ConnectionPool, ReplicaAddress
from load.endpoint_access import EndpointAccess
from load.feed import Feed
from load.frames import SeriesRegistry, Source
from load.latency_recorder import Folded
from load.locust_table import GAP, log_gaps, log_many, log_untimed
from load.reader import StreamReader
from load.session import TICK_S
from load.session_factory import require_descriptors
from load.stream_times import StreamTimes
from load.transport import SSE, WireFormat
from load.user_stream import HeardEvents, SentNs, UserStream

KIND = "SSE"
"""The type of these requests in Locust's table."""


@dataclass(slots=True)
class NamedStreams:
    """Streams with one name: their deliveries are one row of the table."""

    name: str
    heard: HeardEvents
    tell_every: int
    feeds: dict[tuple[WireFormat, Source, bool], Feed] = field(default_factory=dict)
    had_clients: set[tuple[str, str]] = field(default_factory=set)
    """As in ConnectionPool: from a topic's second client on, what is read is remembered for the others."""
    untold: int = 0
    """Deliveries since the last one with a Locust event."""
    times: StreamTimes = field(default_factory=StreamTimes)
    times_known: bool = False
    """Whether any event said when it was sent."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A request event to fire from a greenlet, because listeners may block and the loop must not."""

    name: str
    took_ms: float | None
    size_bytes: int
    failure: Exception | None
    context: Mapping[str, Any]
    ended_s: float


class ListeningDesk:
    """The streams of one Locust environment."""

    def __init__(self, environment: Any, bucket: Callable[[float], float]) -> None:
        require_descriptors(0)
        self._environment = environment
        self._bucket = bucket
        self._named: dict[tuple[type, str], NamedStreams] = {}
        self._addresses: dict[str, list[ReplicaAddress]] = {}
        self._gate = ConnectThrottle(adapts=False)
        self._counters = Counters()
        self._registry = SeriesRegistry()
        self._rng = random.Random()
        self._turn = count()
        self._told: list[_Told] = []
        self._streams: set[UserStream] = set()
        self._ticking = False

    def open(
        self,
        stream: UserStream,
        owner: type,
        host: str,
        endpoint: StreamEndpoint,
        sent_ns: SentNs,
        tell_every: int,
        context: Callable[[], Mapping[str, Any]],
    ) -> None:
        """Connect a stream to that host, and count it under its name with those of its user's class.

        Raises:
            UsageError: the host is not a usable URL, its name is unknown, or a TLS file cannot be read.
        """
        named = self._named.get((owner, stream.name))
        if named is None:
            heard = HeardEvents(sent_ns, self._failed)
            named = self._named[owner, stream.name] = NamedStreams(stream.name, heard, tell_every)
        origin = parse_origin(host)
        if host not in self._addresses:
            self._addresses[host] = resolve([origin])
        addresses = self._addresses[host]
        access = EndpointAccess(endpoint, "", 0)
        access.times = named.times
        if origin.scheme == "https":
            access.require_tls()
        pool = ConnectionPool(
            loop=gevent.get_hub().loop,
            addresses=addresses,
            transport=SSE,
            registry=self._registry,
            counters=self._counters,
            on_connect=partial(self._connected, stream.name, context),
            on_break=partial(self._broken, stream.name, context),
            access=access,
            interpreter=named.heard,
            gate=self._gate,
            rng=self._rng,
            feeds=named.feeds,
            had_clients=named.had_clients,
        )
        self._streams.add(stream)
        stream.attach(StreamReader(stream, next(self._turn) % len(addresses), pool))
        if not self._ticking:
            self._ticking = True
            gevent.spawn(self._tick_while_open)

    def _failed(self, error: Exception) -> None:
        """Show an error of a class's `sent_ns` in Locust's list: it belongs to no single user."""
        self._environment.events.user_error.fire(user_instance=None, exception=error, tb=error.__traceback__)

    def close(self, stream: UserStream) -> None:
        """Disconnect a stream for good."""
        stream.close()
        self._streams.discard(stream)

    def tell(
        self, name: str, took_ms: float | None, failure: Exception | None, context: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Fire a request event at the next tick."""
        self._told.append(_Told(name, took_ms, 0, failure, context(), time.time()))

    def _connected(self, name: str, context: Callable[[], Mapping[str, Any]], took_ns: int, failure: str) -> None:
        self.tell(f"{name} connect", took_ns / 1e6, ConnectionError(failure) if failure else None, context)

    def _broken(self, name: str, context: Callable[[], Mapping[str, Any]], reason: str) -> None:
        self.tell(f"{name} stream", None, ConnectionError(reason), context)

    def _tick_while_open(self) -> None:
        try:
            while self._streams:
                gevent.sleep(TICK_S)
                self._gate.give_up(time.time_ns())
                self.tick()
        finally:
            self._ticking = False

    def tick(self) -> None:
        """Enter the deliveries since the last call into Locust's table, and fire its request events."""
        for named in self._named.values():
            self._fold(named)
        told, self._told = self._told, []
        for one in told:
            self._fire(one)

    def _fold(self, named: NamedStreams) -> None:
        """Each delivery is counted. For some, Locust fires an event and its own listener counts them.

        The others have none.
        """
        for feed in named.feeds.values():
            feed.forget()
        came, times = named.heard.harvest(), named.times
        name, took_ns, untimed = named.name, came.latency_ns, came.untimed
        named.times_known = named.times_known or len(took_ns) > 0
        total = len(took_ns) + untimed
        mean_bytes = round((came.timed_bytes + came.untimed_bytes) / total) if total else 0
        if untimed and not named.times_known:
            # As in LocustTable.delivered: what has no time would be shown with 0 ms.
            first = Folded(took_ns, untimed, len(times.first_ns) * mean_bytes, first_ns=times.first_ns)
            log_gaps(self._environment.stats, KIND, f"{name} ", first, self._bucket)
            name, took_ns, untimed = f"{name} {GAP}", np.array(times.gap_ns, np.int64), 0
        times.drop()
        self._enter(named, name, took_ns, untimed, mean_bytes)

    def _enter(
        self, named: NamedStreams, name: str, took_ns: npt.NDArray[np.int64], untimed: int, mean_bytes: int
    ) -> None:
        timed, total = len(took_ns), len(took_ns) + untimed
        places = range(named.tell_every - named.untold - 1, total, named.tell_every) if named.tell_every else range(0)
        named.untold = (named.untold + total) % named.tell_every if named.tell_every else 0
        chosen = [place for place in places if place < timed]
        for place in places:
            took_ms = float(took_ns[place]) / 1e6 if place < timed else None
            self._told.append(_Told(name, took_ms, mean_bytes, None, {}, time.time()))
        stats, others = self._environment.stats, np.delete(took_ns, chosen)
        log_many(stats, KIND, name, others, len(others) * mean_bytes, self._bucket)
        untimed -= len(places) - len(chosen)
        log_untimed(stats, KIND, name, untimed, untimed * mean_bytes)

    def _fire(self, told: _Told) -> None:
        self._environment.events.request.fire(
            request_type=KIND,
            name=told.name,
            response_time=told.took_ms,
            response_length=told.size_bytes,
            response=None,
            context=dict(told.context),
            exception=told.failure,
            start_time=told.ended_s - (told.took_ms or 0.0) / 1000,
            url="",
        )


_desks: dict[Any, ListeningDesk] = {}


def desk_of(environment: Any, bucket: Callable[[float], float]) -> ListeningDesk:
    """Return the desk of that environment. The first stream creates it; it is notified when a test stops."""
    desk = _desks.get(environment)
    if desk is None:
        desk = _desks[environment] = ListeningDesk(environment, bucket)
        environment.events.test_stop.add_listener(lambda **_: desk.tick())
    return desk
