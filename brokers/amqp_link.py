"""Connections to RabbitMQ by AMQP 0-9-1: the one file that knows aio-pika, and the aiormq inside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aio_pika.connection import Connection, make_url
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ConnectionNotAllowed,
    ProbableAuthenticationError,
)

from brokers.connection import Calls
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.reconnect import finish, heartbeat_s, quietly, reason
from brokers.tls import tls_context
from brokers.topic_names import TopicNames

__all__ = [
    "MAX_TOPIC_BYTES",
    "PORT",
    "TLS_PORT",
    "AmqpConnection",
    "AmqpPublisher",
    "DeliveredMessage",
    "calls",
    "errors",
    "kind_of",
    "topic_names",
]

PORT, TLS_PORT = 5672, 5671
MAX_TOPIC_BYTES = 255
"""A routing key is a short string, whose length is one byte."""
AMQP_HEARTBEAT_S = 4
"""Whole seconds. Two of them without a word, and the broker gives a connection up."""
_DRAIN_EVERY = 64

# A lost connection is our news to tell, in one line and without a traceback.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

errors = (AMQPError, ChannelInvalidStateError, OSError, ValueError)


def topic_names(endpoint: Endpoint) -> TopicNames:
    """Topics as routing keys: any text."""
    return TopicNames(endpoint, MAX_TOPIC_BYTES)


def kind_of(error: BaseException) -> CauseKind | None:
    """What aiormq's errors mean."""
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return CauseKind.AUTHENTICATION
    return CauseKind.LOST if isinstance(error, ChannelInvalidStateError) else None


class _Wire:
    """Makes the connection's transport and keeps hold of it: aiormq waits for a peer that will never answer again."""

    def __init__(self, factory: TransportFactory) -> None:
        self._factory = factory
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: Any, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, self._writer = await self._factory.create(url, **options)
        return reader, self._writer

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


@dataclass(slots=True)
class AmqpConnection:
    """A connection with one channel; `ended` is set when a consumer on it is cancelled by the broker.

    `pulse` is a second channel, for the sign of life alone: on the first it would wait behind a burst of publishes.
    """

    connection: Any
    channel: Any
    pulse: Any
    wire: _Wire
    timeout_s: float
    heartbeat_s: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def dial(
    confirms: bool, prepare: Callable[[AmqpConnection], Awaitable[None]], endpoint: Endpoint
) -> AmqpConnection:
    """Connect, log in, open a channel, and declare on it what the adapter needs."""
    secure = endpoint.scheme.startswith("amqps")
    url = make_url(
        host=endpoint.host,
        port=endpoint.port or (TLS_PORT if secure else PORT),
        login=endpoint.username or "guest",
        password=endpoint.password or "guest",
        virtualhost=endpoint.path or "/",
        ssl=secure,
        heartbeat=AMQP_HEARTBEAT_S,
    )
    connection = Connection(url, ssl_context=tls_context(endpoint) if secure else None)
    wire = connection.kwargs["transport_factory"] = _Wire(TLSTransportFactory() if secure else TCPTransportFactory())
    try:
        await connection.connect(timeout=endpoint.timeout_s)
        channel, pulse = [await _open_channel(connection, kind) for kind in (confirms, False)]
        link = AmqpConnection(connection, channel, pulse, wire, endpoint.timeout_s, heartbeat_s(endpoint))
        link.channel.on_consumer_cancel_callbacks.add(partial(_end, link))
        await prepare(link)
    except BaseException as error:
        wire.abort()
        await finish(quietly(connection.close(), endpoint.timeout_s))
        if isinstance(error, ConnectionNotAllowed):
            step = "check the virtual host in the URL's path"
            raise BrokerError(endpoint, "connect", reason(error), CauseKind.NOT_FOUND, step) from None
        raise
    return link


async def _open_channel(connection: Connection, confirms: bool) -> Any:
    channel = connection.channel(publisher_confirms=confirms)
    await channel.initialize()
    return await channel.get_underlay_channel()


async def _end(link: AmqpConnection, _: Any) -> None:
    link.ended.set()


async def until_lost(link: AmqpConnection) -> None:
    """Return or raise when the channel, and so the connection, is of no more use."""
    waiting = [asyncio.ensure_future(work) for work in (link.ended.wait(), _beat(link))]
    closing = link.channel.closing
    try:
        await asyncio.wait([*waiting, closing], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    if closing.done():
        error = None if closing.cancelled() else closing.exception()
        raise error if isinstance(error, Exception) else ConnectionError("connection lost")
    if link.ended.is_set():
        raise ConnectionError("the broker cancelled the consumer: its queue is gone")
    link.wire.abort()
    raise TimeoutError


async def _beat(link: AmqpConnection) -> None:
    """Ask for a sign of life until none comes: AMQP's own heartbeat takes three times as long to give up."""
    with contextlib.suppress(TimeoutError, *errors):
        while True:
            await asyncio.sleep(link.heartbeat_s)
            await link.pulse.exchange_declare("amq.direct", passive=True, timeout=link.timeout_s)


async def hang_up(link: AmqpConnection) -> None:
    """Close the channel first: its answer comes after all that was published.

    What waits for a confirmation still gets the error; aiormq's own is CancelledError, as if its caller were cancelled.
    """
    with contextlib.suppress(TimeoutError, *errors):
        async with asyncio.timeout(link.timeout_s / 2):
            await link.channel.close(ConnectionError("connection lost"))
    if not link.channel.is_closed:
        link.wire.abort()
    await link.connection.close()


def calls(prepare: Callable[[AmqpConnection], Awaitable[None]], confirms: bool = False) -> Calls[AmqpConnection]:
    """aio-pika for `brokers.connection`."""
    return Calls(partial(dial, confirms, prepare), until_lost, hang_up, errors, kind_of)


class AmqpPublisher:
    """Publishes through a link's channel.

    aiormq makes a random id for a message that has none, and waits after each message until it is written; here all
    have one id, which nothing reads, and every 64th waits, which is enough to be slowed down by a slow broker.
    """

    __slots__ = ("_count", "_properties")

    def __init__(self, persistent: bool, headers: Mapping[str, str] | None = None) -> None:
        self._properties = spec.Basic.Properties(
            delivery_mode=2 if persistent else 1, message_id="fanbench", headers=dict(headers) if headers else None
        )
        self._count = 0

    async def publish(self, link: AmqpConnection, exchange: str, routing_key: str, payload: bytes) -> None:
        """Return once it is written, or, on a channel with confirms, once the broker has confirmed it."""
        self._count += 1
        await link.channel.basic_publish(
            payload,
            exchange=exchange,
            routing_key=routing_key,
            properties=self._properties,
            wait=self._count % _DRAIN_EVERY == 0,
        )
