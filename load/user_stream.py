"""A stream of a locustfile's user: passes each event on, whatever its content."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from time import time_ns
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt
from gevent.event import AsyncResult
from gevent.event import Event as Flag
from gevent.timeout import Timeout

from core.sse import SSEEvent
from load.client_state import DISARMED
from load.frames import UNKNOWN, Event, Item, Source
from load.ledger import Series, Track
from load.recovery import Recovery

_NUMBERED_BY_NOBODY = Series("", "")

Match = Callable[[SSEEvent], bool]
SentNs = Callable[[SSEEvent], int | None]


class Reader(Protocol):
    """Keeps a stream connected."""

    def start(self) -> None:
        """Connect."""

    def close(self) -> None:
        """Leave for good."""


class HeardEvents:
    """Makes one item of the same bytes for all streams, and keeps their arrivals until they are harvested."""

    def __init__(self, sent_ns: SentNs, on_error: Callable[[Exception], None]) -> None:
        self._sent_ns = sent_ns
        self._on_error = on_error
        self._fresh: list[Event] = []

    def items(self, sse: SSEEvent, source: Source = UNKNOWN) -> tuple[Event]:
        """The event, with its sending time if known."""
        event = Event(_NUMBERED_BY_NOBODY, 0, True, source.server, sse.id)
        event.sse = sse
        try:
            event.sent_ns = self._sent_ns(sse) or 0
        except Exception as error:  # any exception of the user's own code: the stream continues
            self._on_error(error)
        self._fresh.append(event)
        return (event,)

    def harvest(self) -> Deliveries:
        """Return the arrivals since the last call.

        Empty the caches first: later arrivals are not noted on these events.
        """
        fresh, self._fresh = self._fresh, []
        timed = [event for event in fresh if event.sent_ns]
        latency_ns = [np.frombuffer(event.arrivals, np.int64) - event.sent_ns for event in timed if event.arrivals]
        return Deliveries(
            np.concatenate(latency_ns) if latency_ns else np.empty(0, np.int64),
            sum(len(event.arrivals) * _data_bytes(event) for event in timed),
            sum(len(event.arrivals) for event in fresh if not event.sent_ns),
            sum(len(event.arrivals) * _data_bytes(event) for event in fresh if not event.sent_ns),
        )


class Deliveries:
    """Over a period: each delivery's time since it was sent, in nanoseconds, and the number of deliveries without that time."""

    __slots__ = ("latency_ns", "timed_bytes", "untimed", "untimed_bytes")

    def __init__(self, latency_ns: npt.NDArray[np.int64], timed_bytes: int, untimed: int, untimed_bytes: int) -> None:
        self.latency_ns = latency_ns
        self.timed_bytes = timed_bytes
        self.untimed = untimed
        self.untimed_bytes = untimed_bytes


def _data_bytes(event: Event) -> int:
    return len(event.sse.data) if event.sse is not None else 0


class UserStream:
    """One connection that reconnects as a browser's EventSource does, until it or its user is closed."""

    def __init__(
        self,
        name: str,
        on_event: Callable[[SSEEvent, UserStream], None],
        on_error: Callable[[Exception], None],
        on_expected: Callable[[str, int, str], None],
    ) -> None:
        self.name = name
        """Its name in Locust's table."""
        self.events = 0
        """How many events have come."""
        self.connected = False
        self.connects = 0
        """How often it was connected."""
        self.topic = ""
        self.start_id = ""
        self.recovery: Recovery | None = None
        self.on_error = on_error
        self._on_event = on_event
        self._on_expected = on_expected
        self._expected: list[Expectation] = []
        self._open = Flag()
        self._reader: Reader | None = None

    @property
    def last_event_id(self) -> str:
        """The id of the last event that had one: sent as `Last-Event-ID` when it connects again."""
        return self.start_id

    def rest(self, resting: bool) -> None:
        """Does nothing: nobody needs to know whether it is disconnected on purpose."""

    def attach(self, reader: Reader) -> None:
        """Begin to connect with that reader."""
        self._reader = reader
        reader.start()

    def opened(self, began_ns: int, now_ns: int) -> None:  # noqa: ARG002 - as a reader calls it
        """It is connected."""
        self.connected = True
        self.connects += 1
        self._open.set()

    def closed(self, now_ns: int) -> None:  # noqa: ARG002
        """The connection is lost."""
        self.connected = False
        self._open.clear()

    def take(self, items: tuple[Item, ...], now_ns: int, track: Track) -> Track:  # noqa: ARG002
        """Pass on the events of one read."""
        for item in items:
            if isinstance(item, Event) and (event := item.sse) is not None:
                item.arrivals.append(now_ns)
                self.events += 1
                if event.id:
                    self.start_id = event.id
                try:
                    self._on_event(event, self)
                except Exception as error:  # any exception of the user's own code: the stream continues
                    self.on_error(error)
                if self._expected:
                    self._meet(event, now_ns)
        return DISARMED

    def _meet(self, event: SSEEvent, now_ns: int) -> None:
        for expectation in list(self._expected):
            try:
                met = expectation.match(event)
            except Exception as error:
                self.on_error(error)
                continue
            if met:
                self._expected.remove(expectation)
                expectation.met(event, now_ns)

    def wait_connected(self, timeout_s: float = 10.0) -> bool:
        """Wait, in a task, until it is connected; return whether it is."""
        return bool(self._open.wait(timeout_s))

    def wait_event(self, match: Match | None = None, timeout_s: float = 10.0) -> SSEEvent | None:
        """Wait, in a task, for the next event, or for the next that matches; None if it does not arrive in time."""
        expectation = self.expect("", match, timeout_s)
        with expectation:
            pass
        return expectation.event

    def expect(self, name: str, match: Match | None = None, timeout_s: float = 10.0) -> Expectation:
        """For a `with` block whose action leads to an event, such as a click.

        Leaving the block waits for the next event that matches, from the block's beginning on. Locust's table gets the
        time between the two as a request `name`, a failed one if the event does not arrive within `timeout_s` of the
        block's end. `event` is then that event, or None.
        """
        return Expectation(name, match or _any_event, timeout_s, self._expected, self._on_expected)

    def close(self) -> None:
        """Disconnect for good."""
        if self._reader is not None:
            self._reader.close()


def _any_event(_: SSEEvent) -> bool:
    return True


class Expectation(AbstractContextManager["Expectation"]):
    """The event that must follow the action of a `with` block."""

    def __init__(
        self,
        name: str,
        match: Match,
        timeout_s: float,
        among: list[Expectation],
        tell: Callable[[str, int, str], None],
    ) -> None:
        self.event: SSEEvent | None = None
        self.match = match
        self._name = name
        self._among = among
        self._tell = tell
        self._timeout_s = timeout_s
        self._began_ns = 0
        self._result: AsyncResult[tuple[SSEEvent, int]] = AsyncResult()

    def met(self, event: SSEEvent, now_ns: int) -> None:
        """Note the event."""
        self._result.set((event, now_ns))

    def __enter__(self) -> Expectation:
        self._began_ns = time_ns()
        self._among.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._wait()
        finally:
            if self in self._among:
                self._among.remove(self)

    def _wait(self) -> None:
        failure, now_ns = "", 0
        try:
            self.event, now_ns = self._result.get(timeout=self._timeout_s)
        except Timeout:
            now_ns, failure = time_ns(), f"no such event within {self._timeout_s:g} s"
        if self._name:
            self._tell(self._name, now_ns - self._began_ns, failure)
