"""PostgreSQL's LISTEN and NOTIFY, through asyncpg.

At most once: the server keeps nothing for clients that are not listening.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from brokers import inbox
from brokers.api import Delivery, Gap, Message
from brokers.connection import Calls
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, Refusal, shown
from brokers.link import Link
from brokers.postgres_link import ERRORS, OPTIONS, PORT, PostgresSession, dial, kind_of
from brokers.postgres_notices import (
    MAX_PAYLOAD_BYTES,
    MAX_TEXT_BYTES,
    MAX_TOPIC_BYTES,
    TooLongError,
    another_text_of,
    channel_of,
    payload_of,
    text_of,
)
from brokers.postgres_sender import Outgoing, PostgresSender
from brokers.reconnect import keep_up
from brokers.topic_names import TopicNames

_AT_ONCE = 500
_NOTIFY = "SELECT count(pg_notify(channel, text)) FROM unnest($1::text[], $2::text[]) AS notice(channel, text)"


def _names(endpoint: Endpoint) -> TopicNames:
    return TopicNames(endpoint, MAX_TOPIC_BYTES, channel_of)


async def _notify(session: PostgresSession, batch: Sequence[Outgoing[str]]) -> None:
    """Notify in one transaction; only large equal payloads need separate ones."""
    notices: list[tuple[str, str]] = []
    times: Counter[tuple[str, str]] = Counter()
    for outgoing in batch:
        notice = (outgoing.name, outgoing.data)
        number, times[notice] = times[notice], times[notice] + 1
        text: str | None = outgoing.data if number == 0 else another_text_of(outgoing.data, number)
        if text is None:
            await _commit(session, notices)
            notices, times, text = [], Counter([notice]), outgoing.data
        notices.append((outgoing.name, text))
    await _commit(session, notices)


async def _commit(session: PostgresSession, notices: Sequence[tuple[str, str]]) -> None:
    await session.execute(_NOTIFY, [channel for channel, _ in notices], [text for _, text in notices])


class PostgresProducer:
    """Publishes that overlap share transactions."""

    def __init__(self, endpoint: Endpoint, sender: PostgresSender[str]) -> None:
        self._endpoint = endpoint
        self._sender = sender
        self._name_of = sender.names.of
        self.link = sender.link

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the server has committed it: each listening session is then notified.

        Raises:
            TopicRefusedError: no channel can have this name.
            BrokerError: the payload is over PostgreSQL's limit, or the server did not accept it.
        """
        name = self._name_of(topic)
        try:
            text = text_of(payload)
        except TooLongError as error:
            step = "send less, or use postgresql+outbox://, which has no such bound"
            raise BrokerError(self._endpoint, f"publish on {shown(topic)}", str(error), CauseKind.LIMIT, step) from None
        await self._sender.publish(topic, name, text)


class PostgresConsumer:
    """Listens on one channel for each topic."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        calls = Calls(self._dial, PostgresSession.watch, PostgresSession.hang_up, ERRORS, kind_of)
        self.line = ConsumerConnection(endpoint, self.inbox, calls, self._listen, _names(endpoint))

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def _dial(self, endpoint: Endpoint) -> PostgresSession:
        session = await dial(endpoint)
        session.on_notification(self._take)
        return session

    def _take(self, channel: str, text: str) -> None:
        topic = self.line.topics.get(channel)
        if topic is None:  # unsubscribed by now
            return
        try:
            payload = payload_of(text)
        except ValueError:
            self.line.link.pass_by("a notification with a base64 marker but invalid content")
            return
        self.inbox.put(topic, payload)

    async def _listen(self, session: PostgresSession, channels: Sequence[str]) -> Mapping[str, Refusal]:
        for start in range(0, len(channels), _AT_ONCE):
            await session.execute(_each("LISTEN", channels[start : start + _AT_ONCE]))
        return {}

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the server confirmed or refused each, which may be after a reconnect; the refused ones.

        Raises:
            BrokerError: it did not confirm within the endpoint's deadline; or history is requested.
        """
        return await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop locally at once, and inform the server."""
        channels = self.line.forget(topics)
        session = self.line.connection
        if session is not None and channels:
            with contextlib.suppress(*ERRORS):  # the connection is lost: nothing to unsubscribe from
                await session.execute(_each("UNLISTEN", channels))

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox


def _each(verb: str, channels: Sequence[str]) -> str:
    return ";".join('{} "{}"'.format(verb, channel.replace('"', '""')) for channel in channels)


class PostgresAdapter:
    """`postgresql://[user[:password]@]host[:port][,host[:port]…]/database`, or `postgres://`."""

    name = "postgres"
    schemes = ("postgresql", "postgres")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    max_payload_bytes = MAX_PAYLOAD_BYTES
    max_text_bytes = MAX_TEXT_BYTES
    default_ports = dict.fromkeys(schemes, PORT)
    options = (inbox.BUFFER, *OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[PostgresProducer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        calls = Calls(dial, PostgresSession.watch, PostgresSession.hang_up, ERRORS, kind_of)
        sender: PostgresSender[str] = PostgresSender(endpoint, calls, _notify, _names(endpoint))
        async with keep_up(endpoint, sender):
            yield PostgresProducer(endpoint, sender)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[PostgresConsumer]:
        """Connect, and stay connected.

        Raises:
            BrokerError: the first attempt failed.
        """
        consumer = PostgresConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


adapter = PostgresAdapter()
