"""The consumer of the adapter `amqp`: one queue, bound to its topics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiormq.abc import DeliveredMessage

from brokers import inbox
from brokers.amqp_errors import errors, forbidden_topic, kind_of, undecodable, words_of
from brokers.amqp_link import MAX_TOPIC_BYTES, AmqpConnection, calls
from brokers.amqp_queue import (
    EXCHANGE_TYPE,
    declare_exchange,
    declare_queue,
    exchange_of,
    new_queue_name,
    release_claim,
)
from brokers.amqp_sentry import NO_CANARY, Canary
from brokers.api import Gap, Message
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import CauseKind, Refusal
from brokers.link import Link
from brokers.topic_names import TopicNames

PREFETCH = 1_000
_ACK_EVERY = 64
_TRIES = 4
_ANOTHER_NAME = (CauseKind.ELSEWHERE, CauseKind.CONFLICT)
"""If a queue's node is down, another connection has the queue, or it has other settings, a new one is created."""


def _pattern(topic: str) -> str:
    """A topic as a binding key of a topic exchange, in which two symbols are wildcards."""
    if not {"*", "#"}.isdisjoint(topic.split(".")):
        raise ValueError("to a topic exchange * and # stand for other words")
    return topic


class AmqpConsumer:
    """One queue; with confirms, messages are acknowledged when they are iterated."""

    def __init__(self, endpoint: Endpoint, durable: bool) -> None:
        self._endpoint = endpoint
        self._durable = durable
        self._queue = ""
        capacity = endpoint.get(inbox.BUFFER)
        self._prefetch = min(PREFETCH, max(1, capacity // 2))
        self.inbox = inbox.Inbox(capacity)
        topical = endpoint.get(EXCHANGE_TYPE) == "topic"
        names = TopicNames(endpoint, MAX_TOPIC_BYTES, _pattern if topical else str)
        prepared = calls(self._prepare, lost=self._ended)
        self.line = ConsumerConnection(endpoint, self.inbox, prepared, self._send, names)
        self._topics = self.line.topics
        self._received = 0
        self._acknowledged = 0
        self._has_canary = False
        self._binder: Any = None
        self._unbound: list[str] = []
        self._refused: dict[str, Refusal] = {}
        self._binding = asyncio.Lock()

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    def _ended(self, error: Exception) -> None:
        """A queue that starts with an undecodable message would end every connection: abandon it."""
        if undecodable(error):
            self.link.pass_by("a message that cannot be decoded")
            self._queue = ""

    async def _prepare(self, link: AmqpConnection) -> None:
        """Declare exchange and queue, and consume; a durable queue delivers what arrived in between."""
        await declare_exchange(self._endpoint, link)
        self._binder = None
        self._unbound, self._binding = [], asyncio.Lock()  # subscribes again to the topics still unbound
        for left in reversed(range(_TRIES)):
            new = not (self._queue and self._durable)
            if new:
                self._queue = new_queue_name(self._endpoint)
            try:
                await self._consume(link, new)
            except errors as error:
                if left == 0 or kind_of(error) not in _ANOTHER_NAME:
                    raise
                self._queue = ""
                await link.replace_channel()
            else:
                break
        refused = await self._send(link, [self._queue])
        self._has_canary = not refused

    def canary(self) -> Canary:
        """The binding that brings a message to the queue without a topic."""
        return (exchange_of(self._endpoint), self._queue) if self._has_canary else NO_CANARY

    async def _consume(self, link: AmqpConnection, new: bool) -> None:
        channel, durable = link.channel, self._durable
        await declare_queue(self._endpoint, link, self._queue, durable, new)
        self._received = self._acknowledged = 0
        if durable:
            await channel.basic_qos(prefetch_count=self._prefetch)
        await channel.basic_consume(self._queue, self._take, no_ack=not durable, consumer_tag=self._queue)
        if durable and new:
            await release_claim(link, self._queue)

    async def _send(self, link: AmqpConnection, names: Sequence[str]) -> Mapping[str, Refusal]:
        """If calls overlap, the first binds for all of them."""
        self._unbound.extend(names)
        async with self._binding:
            bundle, self._unbound = self._unbound, []
            try:
                while bundle:
                    bundle = await self._bind(link, bundle)
            except BaseException:
                self._unbound = bundle + self._unbound  # for the callers that wait: they bind it again or fail too
                raise
            return {name: refusal for name in names if (refusal := self._refused.pop(name, None)) is not None}

    async def _bind(self, link: AmqpConnection, names: list[str]) -> list[str]:
        """Bind on a separate channel, because a forbidden topic closes it; return the topics that must be bound again.

        Only the last waits for its answer: the broker handles them in order, and closes the channel on an error.
        """
        if self._binder is None or self._binder.is_closed:
            self._binder = await link.another_channel()
        try:
            for i, name in enumerate(names, start=1):
                await self._binder.queue_bind(self._queue, exchange_of(self._endpoint), name, nowait=i < len(names))
        except errors as error:
            forbidden = forbidden_topic(await self._why(error))
            if forbidden not in names:
                raise
            self._refused[forbidden] = Refusal("forbidden", words_of(await self._why(error)))
            return [name for name in names if name != forbidden]
        return []

    async def _why(self, error: Exception) -> BaseException:
        """The broker's error message, if a call was made after the broker had closed the channel."""
        closing = self._binder.closing
        await asyncio.wait([closing], timeout=self._endpoint.timeout_s)
        return (None if not closing.done() or closing.cancelled() else closing.exception()) or error

    async def _take(self, message: DeliveredMessage) -> None:
        self._received += 1
        topic = self._topics.get(message.routing_key or "")
        if topic is not None:
            self.inbox.put(topic, message.body)
        elif self._durable:
            await self._acknowledge()

    async def unsubscribe(self, *topics: str) -> None:
        """Stop locally at once, and inform the broker; without a connection, the next one does not subscribe."""
        names = self.line.forget(topics)
        link = self.line.connection
        if link is not None:
            with contextlib.suppress(*errors):
                for name in names:
                    await link.channel.queue_unbind(self._queue, exchange_of(self._endpoint), name)
        if self._durable:
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        """Acknowledge everything received, at once if the reader keeps up and in bundles if it does not.

        While the inbox holds more than the prefetch nothing is acknowledged, so that it never overflows: the rest
        waits in the broker's queue, which is this consumer's own.
        """
        behind, open_tags = len(self.inbox), self._received - self._acknowledged
        link = self.line.connection
        if link is None or open_tags == 0 or behind > self._prefetch or (behind and open_tags < _ACK_EVERY):
            return
        self._acknowledged = self._received
        with contextlib.suppress(*errors):
            await link.channel.basic_ack(self._received, multiple=True, wait=False)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self if self._durable else self.inbox

    async def __anext__(self) -> Message | Gap:
        item = await self.inbox.__anext__()
        await self._acknowledge()
        return item

    async def forget_queue(self) -> None:
        """Delete a durable queue, which would otherwise stay for a minute."""
        link = self.line.connection
        if self._durable and link is not None:
            with contextlib.suppress(TimeoutError, *errors):
                await link.channel.basic_cancel(self._queue, timeout=self._endpoint.timeout_s)
                await link.channel.queue_delete(self._queue, timeout=self._endpoint.timeout_s)
