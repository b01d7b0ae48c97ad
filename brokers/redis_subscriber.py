"""One connection to Redis in subscriber mode: commands, their confirmations in order, and messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from brokers.api import Take
from brokers.endpoint import Endpoint
from brokers.reconnect import heartbeat_s
from brokers.redis_feed import RedisFeed
from brokers.redis_link import Connection, ResponseError, send
from brokers.topic_names import TOPICS


@dataclass(slots=True)
class _Asked:
    """A command in flight."""

    confirmations: int
    """Confirmations that are still to come, one for each topic."""
    answer: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Verbs:
    """The commands of classic or of sharded publish/subscribe."""

    subscribe: str
    unsubscribe: str
    message: bytes


CLASSIC = Verbs("SUBSCRIBE", "UNSUBSCRIBE", b"message")
SHARDED = Verbs("SSUBSCRIBE", "SUNSUBSCRIBE", b"smessage")


@lru_cache(TOPICS)
def _text(name: bytes) -> str:
    """A name that we did not subscribe to cannot arrive, and we never request one that is not UTF-8."""
    return name.decode(errors="replace")


class Subscriber:
    """Run `read` and `beat` while it is open; `confirmed` sends a command and waits for the broker's answer."""

    def __init__(
        self, connection: Connection, endpoint: Endpoint, verbs: Verbs, take: Take, end: Callable[[], None]
    ) -> None:
        """`take` gets each message; `end` is called after those of each read."""
        self.connection = connection
        self.verbs = verbs
        self._endpoint = endpoint
        self._take = take
        self._end = end
        self._message = verbs.message
        self._waiting: deque[_Asked] = deque()
        self._early: list[tuple[str, bytes]] = []
        """Messages between the confirmations of a new connection."""
        self._heard = False
        self._feed: RedisFeed | None = None
        """None while the connection is being made."""
        self._confirmations = {verbs.subscribe.lower().encode(), verbs.unsubscribe.lower().encode()}

    async def subscribe(self, names: Sequence[str], *, new: bool) -> None:
        """Return once each is confirmed; if the broker refuses one topic of a command, it refuses all.

        Set `new` while the connection is being made: nobody reads it yet, and the confirmations arrive first.
        """
        if not new:
            await self._confirmed(self.verbs.subscribe, names)
            return
        await send(self.connection, self.connection.pack_command(self.verbs.subscribe, *names))
        confirmed = 0
        while confirmed < len(names):
            reply = await self.connection.read_response()
            if reply[0] == self.verbs.message:
                self._early.append((_text(reply[1]), reply[2]))
            else:
                confirmed += 1

    async def unsubscribe(self, names: Sequence[str]) -> None:
        """Return once each is confirmed."""
        await self._confirmed(self.verbs.unsubscribe, names)

    async def _confirmed(self, command: str, names: Sequence[str]) -> None:
        if self._feed is not None and self._feed.ended:
            raise ConnectionError("connection lost")
        asked = _Asked(len(names), asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        packed = self.connection.pack_command(command, *names)
        if self._feed is None:
            await send(self.connection, packed)
        else:
            self._feed.write(b"".join(packed))
            self._feed.flush()
        await asked.answer

    async def serve(self) -> None:
        """Read and check that the broker answers, until one fails.

        Then fail the callers that wait for a confirmation.
        """
        try:
            early, self._early = self._early, []
            for name, payload in early:
                self._take(name, payload)
            self._end()
            await send(self.connection, [])  # redis-py's own bytes go first
            feed = self._feed = RedisFeed(self.connection, self._came, self._end)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(feed.wait_end())
                tasks.create_task(self._beat(feed))
        finally:
            waiting, self._waiting = self._waiting, deque()
            for asked in waiting:
                if not asked.answer.done():
                    asked.answer.set_exception(ConnectionError("connection lost"))

    def _came(self, answer: Any) -> None:
        self._heard = True
        if type(answer) is list and answer[0] == self._message:
            self._take(_text(answer[1]), answer[2])
        elif isinstance(answer, ResponseError):
            self._answered(answer)
        elif answer[0] in self._confirmations:
            if not self._waiting:
                # The server ends a sharded subscription when its slot moves to another node.
                raise ConnectionError("MOVED: the broker ended a subscription")
            self._answered(None)

    def _answered(self, error: ResponseError | None) -> None:
        """The broker answers commands in order, with a confirmation for each topic or with one error."""
        if not self._waiting:
            if error is not None:
                raise error
            return
        asked = self._waiting[0]
        asked.confirmations -= 1
        if error is None and asked.confirmations:
            return
        self._waiting.popleft()
        if asked.answer.done():  # the caller was cancelled
            return
        if error is None:
            asked.answer.set_result(None)
        else:
            asked.answer.set_exception(error)

    async def _beat(self, feed: RedisFeed) -> None:
        while True:
            await asyncio.sleep(heartbeat_s(self._endpoint))
            self._heard = False
            feed.write(b"".join(self.connection.pack_command("PING")))
            feed.flush()
            await asyncio.sleep(self._endpoint.timeout_s)
            if not self._heard:
                raise TimeoutError
