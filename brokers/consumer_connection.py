"""A consumer's connection: confirms or refuses each topic separately, and resubscribes after a reconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from brokers.api import Gap
from brokers.connection import Calls
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Reaction, Refusal, reaction_to, refusal_of, refuse_history, shown
from brokers.inbox import Inbox, Lane
from brokers.link import Link
from brokers.topic_names import TopicNames
from brokers.waiting import finish, quietly, reason

C = TypeVar("C")
_NOTICE_S = 0.25
_TRIES = 3
"""A broker may refuse by closing the connection."""


class ConsumerConnection(Generic[C]):
    """A `ReconnectLoop` for `keep_up` that subscribes again after each reconnect, and then reports the Gap.

    `topics` holds the subscriptions: the topics by the names that the broker uses.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        inbox: Inbox | Lane,
        calls: Calls[C],
        send: Callable[[C, Sequence[str]], Awaitable[Mapping[str, Refusal]]],
        names: TopicNames,
    ) -> None:
        """`send` subscribes to names, and returns once the broker confirmed each, or refused those that it returns.

        If the broker refuses several topics at once without naming them, `send` raises; it is then called with fewer.
        """
        self.endpoint = endpoint
        self.inbox = inbox
        self.link = Link(endpoint)
        self.serve = calls.serve
        self.hang_up = calls.hang_up
        self.kind_of = calls.kind_of
        self.connection: C | None = None
        self.topics: dict[str, str] = {}
        self._confirmed: set[str] = set()
        self._calls = calls
        self._send = send
        self._names = names
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._alone = asyncio.Lock()
        self._cause: str | None = None

    async def subscribe(self, topics: Iterable[str], since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each, which may be after a reconnect; the refused, by topic.

        Raises:
            BrokerError: it did not confirm within the endpoint's deadline; none of them is subscribed.
        """
        refuse_history(self.endpoint, since_ns)
        names, refused = self._names.sort_out(topics)
        added = [name for name in names if name not in self.topics]
        self.topics |= names
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                denied = await self._confirm(list(names)) if names else {}
        except BaseException as error:
            self._forget(name for name in added if name not in self._confirmed)
            if isinstance(error, (TimeoutError, *self._calls.errors)):
                raise self.failed(f"subscribe {shown(next(iter(names.values())))}", error) from None
            raise
        self._forget(denied)
        self._confirmed |= names.keys() & self.topics.keys()
        return refused | {names[name]: self._told(refusal) for name, refusal in denied.items()}

    def _told(self, refusal: Refusal) -> Refusal:
        return refusal._replace(reason=self.endpoint.hide_secrets(refusal.reason))

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.topics.pop(name, None)
            self._confirmed.discard(name)

    def failed(self, action: str, error: BaseException) -> BrokerError:
        """The error of an action that is not publishing."""
        return BrokerError(self.endpoint, action, reason(error), self._calls.kind(error))

    async def _confirm(self, names: Sequence[str], tries: int = 1) -> dict[str, Refusal]:
        """Subscribe on the current or the next connection.

        If the connection is lost, try each half of the names again, one caller at a time. This finds a topic that makes
        the broker drop every connection.
        """
        await self._up.wait()
        connection = self.connection
        assert connection is not None
        try:
            return await self._ask(connection, names)
        except self._calls.errors as error:
            if reaction_to(self._calls.kind(error)) is Reaction.GONE:
                self.link.drop(reason(error))
            # A library may notice the lost connection only after the call has failed.
            if self.connection is connection and not await self._lost_within(_NOTICE_S):
                raise
            if len(names) == 1 and tries >= _TRIES:
                words = f"the connection was lost at each request for it: {reason(error)}"
                return {names[0]: Refusal("invalid", words)}
        return await self._confirm_alone(names, tries)

    async def _confirm_alone(self, names: Sequence[str], tries: int) -> dict[str, Refusal]:
        refused: dict[str, Refusal] = {}
        for part in _halves(names):
            if tries == 1:
                async with self._alone:
                    refused |= await self._confirm(part, 2)
            else:
                refused |= await self._confirm(part, 2 if len(names) > 1 else tries + 1)
        return refused

    async def _ask(self, connection: C, names: Sequence[str]) -> dict[str, Refusal]:
        """Try one half at a time if the broker refuses several without saying which; raises other errors."""
        try:
            return dict(await self._send(connection, names))
        except self._calls.errors as error:
            refusal = refusal_of(self._calls.kind(error), reason(error))
            if refusal is None:
                raise
            if len(names) == 1:
                return {names[0]: refusal}
        refused: dict[str, Refusal] = {}
        for part in _halves(names):
            refused |= await self._ask(connection, part)
        return refused

    async def _lost_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._down.wait()
        except TimeoutError:
            return False
        return True

    def forget(self, topics: Iterable[str]) -> list[str]:
        """Stop taking messages of these topics; returns the names that were subscribed."""
        known = self._names.known(topics)
        names = [name for name in known if name in self.topics]
        self._forget(names)
        self.inbox.discard(list(known.values()))
        return names

    async def dial(self) -> C:
        """Connect, and subscribe again to the confirmed topics.

        Callers that wait for other topics request them again.
        """
        connection = await self._calls.dial(self.link.target)
        confirmed = [name for name in self.topics if name in self._confirmed]
        try:
            denied = await self._ask(connection, confirmed) if confirmed else {}
        except BaseException:
            await finish(quietly(self.hang_up(connection), self.endpoint.timeout_s))
            raise
        self.connection = connection
        self._down.clear()
        self._up.set()
        self.inbox.release(Gap(self._cause, None) if self._cause and self.topics else None)
        self._cause = None
        for name, refusal in denied.items():  # it was allowed before, and no longer is
            told = self._told(refusal)
            self.inbox.gap(Gap(f"{told.kind}: {told.reason}", None, self.topics[name]))
        self._forget(denied)
        return connection

    def lost(self, cause: str) -> None:
        """Hold back later messages until the Gap is in place."""
        self._up.clear()
        self._down.set()
        self.connection = None
        self._cause = self._cause or f"connection lost: {cause}"
        self.inbox.hold()


def _halves(names: Sequence[str]) -> Iterable[Sequence[str]]:
    half = (len(names) + 1) // 2
    return [part for part in (names[:half], names[half:]) if part]
