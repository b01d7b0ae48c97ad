"""Reads a JetStream stream without a consumer: message by message, by number, from the stream's own leader.

A new consumer needs the leader of JetStream's own group, whose election takes 4 to 9 s; meanwhile the stream may have a
leader.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any, NamedTuple

from nats.errors import ConnectionClosedError

from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.log_reader import LogReader
from brokers.nats_errors import ERRORS, NO_MESSAGE, AnswerError, kind_of
from brokers.nats_link import NatsConnection
from brokers.nats_parser import Sink
from brokers.nats_push import PushConsumer, from_number, start_consumer
from brokers.nats_stream import ask, stream_of, subjects_of, time_ns

_AGAIN_S = 0.02
"""The wait before the stream's end is requested again."""
_TRY_S = 0.1
_MOST_AT_ONCE = 32


class Stored(NamedTuple):
    """A message as the stream stores it."""

    number: int
    subject: str
    payload: bytes
    stored_ns: int


async def stored(endpoint: Endpoint, link: NatsConnection, which: dict[str, Any]) -> Stored | None:
    """One message, selected by the JetStream query in `which`; None if there is none.

    Raises:
        AnswerError, Error, OSError: see `ask`.
    """
    try:
        found = (await ask(endpoint, link, f"STREAM.MSG.GET.{stream_of(endpoint)}", which))["message"]
    except AnswerError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    return Stored(found["seq"], found["subject"], base64.b64decode(found.get("data", "")), time_ns(found["time"]))


async def stored_ns(endpoint: Endpoint, link: NatsConnection, number: int) -> int | None:
    """When a message was stored; None if it does not exist, or this user may not read it."""
    try:
        found = await stored(endpoint, link, {"seq": number})
    except ERRORS:
        return None
    return None if found is None else found.stored_ns


class ByNumber:
    """Passes on the messages of a stream after the position of a feed."""

    def __init__(self, endpoint: Endpoint, link: NatsConnection, feed: LogReader[int]) -> None:
        self._endpoint = endpoint
        self._link = link
        self._feed = feed
        self._cut = len(subjects_of(endpoint)) + 1
        self.read_ns = 0
        """When the last message that it passed on was stored; 0 for none."""

    async def until_consumer(self, take: Sink) -> PushConsumer:
        """Start a consumer after the position, which advances until JetStream starts one.

        Raises:
            BrokerError: JetStream refuses it.
        """
        reading = asyncio.create_task(self.read(), name=f"{self._endpoint} reading by number")
        try:
            while True:
                try:
                    return await start_consumer(self._endpoint, self._link, take, from_number(self._feed.position + 1))
                except BrokerError as error:
                    if not error.transient:
                        raise
                await asyncio.sleep(_TRY_S)
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def read(self) -> None:
        """Continue reading until cancelled; return if the connection is lost, or this user may not read."""
        at_once = 1
        while True:
            try:
                found = await self._next(at_once)
            except ConnectionClosedError:
                return
            except ERRORS as error:
                if (kind_of(error) or standard_kind(error)) is CauseKind.PERMISSION:
                    return
                found = []
            for message in found:
                await self._hand_on(message)
            at_once = min(2 * at_once, _MOST_AT_ONCE) if len(found) == at_once else 1
            if not found:
                await asyncio.sleep(_AGAIN_S)

    async def _next(self, at_once: int) -> list[Stored]:
        """Return at most this many messages after the position, up to the first missing one."""
        first = self._feed.position + 1
        some = await asyncio.gather(
            stored(self._endpoint, self._link, {"seq": first, "next_by_subj": ">"}),  # skips removed messages
            *(stored(self._endpoint, self._link, {"seq": first + i}) for i in range(1, at_once)),
        )
        found: list[Stored] = []
        for message in some:
            if message is None or (found and message.number != found[-1].number + 1):
                break
            found.append(message)
        return found

    async def _hand_on(self, message: Stored) -> None:
        missing = message.number - self._feed.position - 1
        if missing > 0:
            self._feed.trimmed(missing)
        if missing >= 0:
            await self._feed.take(message.number, message.subject[self._cut :], message.payload)
            self.read_ns = message.stored_ns
