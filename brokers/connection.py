"""A producer's and a consumer's connection, kept up: what all adapters do alike when it is lost and when it is back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from brokers.api import Gap
from brokers.endpoint import BrokerError, Endpoint, refuse_history
from brokers.inbox import Inbox
from brokers.reconnect import finish, quietly, reason

C = TypeVar("C")
_NOTICE_S = 0.25
_TRIES = 3
"""A broker may answer what it refuses by closing the connection."""
TOPICS = 65_536
"""Names of topics that an adapter remembers the broker's word for."""


@dataclass(frozen=True, slots=True)
class Calls(Generic[C]):
    """What a client library is asked to do with a connection."""

    dial: Callable[[], Coroutine[Any, Any, C]]
    """Connect; leaves nothing open when it raises."""
    serve: Callable[[C], Coroutine[Any, Any, None]]
    """Return or raise when the connection is lost."""
    hang_up: Callable[[C], Coroutine[Any, Any, None]]
    """Write what is not written yet, and close what is left."""
    errors: tuple[type[Exception], ...]
    """What the library raises."""


class ProducerConnection(Generic[C]):
    """A `ReconnectLoop` for `keep_up`. `connection` is None while there is none."""

    def __init__(self, endpoint: Endpoint, calls: Calls[C]) -> None:
        self.endpoint = endpoint
        self.connection: C | None = None
        self.serve = calls.serve
        self.hang_up = calls.hang_up
        self._dial = calls.dial
        self._cause = "not connected"

    def failed(self, topic: str, error: BaseException | None = None) -> BrokerError:
        """The error of a publish; without `error` there is no connection."""
        cause = self._cause if error is None else reason(error)
        return BrokerError(self.endpoint, f"publish on '{topic}'", cause, "publish it again once the broker is back")

    async def dial(self) -> C:
        """Connect."""
        self.connection = await self._dial()
        return self.connection

    def lost(self, cause: str) -> None:
        """Refuse to publish from now on."""
        self.connection = None
        self._cause = f"connection lost: {cause}"


class ConsumerConnection(Generic[C]):
    """A `ReconnectLoop` for `keep_up` that subscribes again after each reconnect, and then tells the Gap.

    `topics` is what is subscribed: the topic by the name that the broker knows it by.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        inbox: Inbox,
        calls: Calls[C],
        send: Callable[[C, Sequence[str]], Awaitable[None]],
        name_of: Callable[[str], str] = str,
    ) -> None:
        """`send` subscribes to names and returns once the broker confirmed; `name_of` gives a topic's name."""
        self.endpoint = endpoint
        self.inbox = inbox
        self.serve = calls.serve
        self.hang_up = calls.hang_up
        self.connection: C | None = None
        self.topics: dict[str, str] = {}
        self._confirmed: set[str] = set()
        self._dial = calls.dial
        self._errors = calls.errors
        self._send = send
        self._name_of = name_of
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._cause: str | None = None

    async def subscribe(self, topics: Iterable[str], since_ns: int | None = None) -> None:
        """Return once the broker confirmed, which may be after a reconnect.

        Raises:
            BrokerError: it refused, or did not confirm within the endpoint's deadline.
        """
        refuse_history(self.endpoint, since_ns)
        names = {self._name_of(topic): topic for topic in topics}
        added = [name for name in names if name not in self.topics]
        self.topics |= names
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                await self._confirm(list(names))
            self._confirmed |= names.keys() & self.topics.keys()
        except BaseException as error:
            for name in added:
                self.topics.pop(name, None)
            if isinstance(error, (TimeoutError, *self._errors)):
                raise self.failed(f"subscribe '{next(iter(names.values()))}'", error) from None
            raise

    def failed(self, action: str, error: BaseException) -> BrokerError:
        """The error of an action that is not publishing: transient if the broker did not answer in time.

        What it answered again and again, it would answer once more.
        """
        step = "check that the broker is up and grants it to this user"
        return BrokerError(self.endpoint, action, reason(error), step, transient=isinstance(error, TimeoutError))

    async def _confirm(self, names: Sequence[str]) -> None:
        for tries in itertools.count(1):
            await self._up.wait()
            connection = self.connection
            assert connection is not None
            try:
                await self._send(connection, names)
            except self._errors:
                # A library may notice a lost connection a moment after a call on it failed.
                if not await self._lost_within(_NOTICE_S) or tries == _TRIES:
                    raise
            else:
                return

    async def _lost_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._down.wait()
        except TimeoutError:
            return False
        return True

    def forget(self, topics: Iterable[str]) -> list[str]:
        """Take no more messages of these topics; returns the names that were subscribed."""
        topics = list(topics)
        names = [name for name in map(self._name_of, topics) if self.topics.pop(name, None) is not None]
        self._confirmed.difference_update(names)
        self.inbox.discard(topics)
        return names

    async def dial(self) -> C:
        """Connect, and subscribe again to what was confirmed: whoever waits for the rest asks for it again."""
        connection = await self._dial()
        confirmed = [name for name in self.topics if name in self._confirmed]
        try:
            if confirmed:
                await self._send(connection, confirmed)
        except BaseException:
            await finish(quietly(self.hang_up(connection), self.endpoint.timeout_s))
            raise
        self.connection = connection
        self._down.clear()
        self._up.set()
        self.inbox.release(Gap(self._cause, None) if self._cause and self.topics else None)
        self._cause = None
        return connection

    def lost(self, cause: str) -> None:
        """Hold back what comes next until the Gap has its place."""
        self._up.clear()
        self._down.set()
        self.connection = None
        self._cause = self._cause or f"connection lost: {cause}"
        self.inbox.hold()
