"""Dials, watches and closes connections to RabbitMQ by AMQP 0-9-1, with aio-pika and the aiormq inside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aio_pika.connection import Connection, make_url
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from aiormq.exceptions import ConnectionClosed

from brokers.amqp_confirms import REFUSED_S, Confirms
from brokers.amqp_errors import errors, kind_of, worded, words_of
from brokers.amqp_heard import hear_alarms, hear_returns
from brokers.amqp_wire import AmqpWire
from brokers.connection import Calls
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.options import whole_number
from brokers.reconnect import finish, heartbeat_s, quietly
from brokers.tls import tls_context

PORT, TLS_PORT = 5672, 5671
MAX_TOPIC_BYTES = 255
"""A routing key is a short string, whose length is one byte."""
HEARTBEAT = whole_number(
    "heartbeat", "AMQP heartbeat in seconds: the broker gives up after two silent intervals", 4, 1, most=65_535
)

# fanbench reports a lost connection itself, in one line without a traceback.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class AmqpConnection:
    """A connection with one channel; `ended` is set when a consumer on it is cancelled by the broker.

    `pulse` is a second channel, only for the liveness check: on the first it would wait behind a burst of publishes.
    """

    endpoint: Endpoint
    connection: Any
    channel: Any
    pulse: Any
    wire: AmqpWire
    heartbeat_s: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    blocked: str = ""
    """The broker's reason why it accepts no messages on this connection for now (an alarm); otherwise empty."""
    alarm: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it accepts none."""
    takes_messages: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    """Publishes that wait for the alarm's end, in order."""
    dropped: int = 0
    """The number of publishes that the alarm refused."""
    confirms: Confirms = field(default_factory=Confirms)
    unroutable: bool = False
    """Whether the broker returned a mandatory message because no queue is bound."""
    tell: Callable[[str], None] = lambda _: None
    """Called with the reason why the broker accepts no messages, and with "" when it accepts them again."""

    @property
    def timeout_s(self) -> float:
        """The deadline of a call."""
        return self.endpoint.timeout_s

    async def another_channel(self, confirms: bool = False) -> Any:
        """Open another channel: an error on it ends no other."""
        return await _open_channel(self.connection, confirms)

    async def replace_channel(self) -> None:
        """Replace a channel that an error closed."""
        self.channel = await self.another_channel()
        self.channel.on_consumer_cancel_callbacks.add(partial(_end, self))

    async def may_publish(self) -> None:
        """Wait until the broker accepts messages; callers continue in the order of their calls.

        Raises:
            ConnectionError: the connection was lost while waiting.
        """
        self.waiting += 1
        try:
            async with self.turn:
                await self.takes_messages.wait()
        finally:
            self.waiting -= 1
        if self.blocked:
            raise ConnectionError(f"connection lost while the broker accepted no messages ({self.blocked})")


async def dial(
    confirms: bool, prepare: Callable[[AmqpConnection], Awaitable[None]], endpoint: Endpoint
) -> AmqpConnection:
    """Connect, log in, open a channel, and declare what the adapter needs."""
    secure = endpoint.scheme.startswith("amqps")
    url = make_url(
        host=endpoint.host,
        port=endpoint.port or (TLS_PORT if secure else PORT),
        login=endpoint.username or "guest",
        password=endpoint.password or "guest",
        virtualhost=endpoint.path or "/",
        ssl=secure,
        heartbeat=endpoint.get(HEARTBEAT),
        name=endpoint.prefix,
    )
    connection = Connection(url, ssl_context=tls_context(endpoint) if secure else None)
    wire = connection.kwargs["transport_factory"] = AmqpWire(TLSTransportFactory() if secure else TCPTransportFactory())
    try:
        try:
            await connection.connect(timeout=endpoint.timeout_s)
        except errors as error:
            raise wire.refusal() or error from None
        wire.opened()
        channel, pulse = [await _open_channel(connection, kind) for kind in (confirms, False)]
        link = AmqpConnection(endpoint, connection, channel, pulse, wire, heartbeat_s(endpoint))
        hear_alarms(link)
        link.channel.on_consumer_cancel_callbacks.add(partial(_end, link))
        hear_returns(link)
        await prepare(link)
    except BaseException as error:
        wire.abort()
        await finish(quietly(connection.close(), endpoint.timeout_s))
        if isinstance(error, ConnectionClosed) and kind_of(error) is CauseKind.NOT_FOUND:
            step = "check the virtual host in the URL's path"
            raise BrokerError(endpoint, "connect", words_of(error), CauseKind.NOT_FOUND, step) from None
        raise worded(error) if isinstance(error, errors) else error from None
    return link


async def _open_channel(connection: Connection, confirms: bool) -> Any:
    channel = connection.channel(publisher_confirms=confirms)
    await channel.initialize()
    return await channel.get_underlay_channel()


async def _end(link: AmqpConnection, _: Any) -> None:
    link.ended.set()


async def until_lost(link: AmqpConnection) -> None:
    """Return or raise when the channel, and therefore the connection, cannot be used any more."""
    silent = asyncio.ensure_future(_until_no_confirms(link))
    waiting = [silent, *(asyncio.ensure_future(work) for work in (link.ended.wait(), _beat(link)))]
    channel, connection = link.channel.closing, link.connection.transport.connection.closing
    try:
        await asyncio.wait([*waiting, channel, connection], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        link.takes_messages.set()  # reports the loss to callers that wait for the alarm to end
    for closing in (connection, channel):
        if closing.done():
            raise _closed_by(closing)
    if link.ended.is_set():
        raise ConnectionError("the broker cancelled the consumer: its queue is gone")
    link.wire.abort()
    if silent.done() and not silent.cancelled():
        raise ConnectionError(f"the broker answers, but for a while every publish was {silent.result()}")
    raise TimeoutError


def _closed_by(closing: asyncio.Future[Any]) -> Exception:
    error = None if closing.cancelled() else closing.exception()
    return worded(error) if isinstance(error, Exception) else ConnectionError("connection lost")


async def _beat(link: AmqpConnection) -> None:
    """Check that the broker answers, until it does not: AMQP's own heartbeat takes three times as long to give up.

    During an alarm the broker does not answer; AMQP's heartbeats continue and must suffice.
    """
    with contextlib.suppress(*errors):
        while True:
            await asyncio.sleep(link.heartbeat_s)
            await link.takes_messages.wait()
            asked = asyncio.ensure_future(link.pulse.exchange_declare("amq.direct", passive=True))
            try:
                while not asked.done():
                    await asyncio.wait([asked], timeout=link.timeout_s)
                    if not asked.done() and not link.blocked:
                        return
                    await link.takes_messages.wait()
            finally:
                asked.cancel()
            asked.result()


async def _until_no_confirms(link: AmqpConnection) -> str:
    """How the broker fails every publish, if it has done so for too long although there is no alarm.

    If a channel publishes to a quorum queue while the queue has no leader, RabbitMQ 3.10 refuses everything on that
    channel until the dead node is back. It accepts the same on a new channel (tests/brokers/test_rabbitmq_cluster.py),
    so unconfirmed messages are published again there.
    """
    loop = asyncio.get_running_loop()
    while not (does := link.confirms.failing(loop.time(), link.timeout_s)):
        await asyncio.sleep(REFUSED_S / 4)
        if link.blocked:
            link.confirms.pause()
    return does


async def hang_up(link: AmqpConnection) -> None:
    """Close the channel first: its answer arrives after everything that was published.

    Publishes that wait for a confirmation still get the error; aiormq's own is CancelledError, as if the caller were cancelled.
    """
    link.takes_messages.set()
    if not link.blocked:  # the broker would not read it then
        with contextlib.suppress(TimeoutError, *errors):
            async with asyncio.timeout(link.timeout_s / 2):
                await link.channel.close(ConnectionError("connection lost"))
    if not link.channel.is_closed:
        link.wire.abort()
    await link.connection.close()


def calls(
    prepare: Callable[[AmqpConnection], Awaitable[None]],
    confirms: bool = False,
    lost: Callable[[Exception], None] = lambda _: None,
) -> Calls[AmqpConnection]:
    """aio-pika for `brokers.connection`; `lost` is called first when a connection ends."""

    async def serve(link: AmqpConnection) -> None:
        try:
            await until_lost(link)
        except errors as error:
            lost(error)
            raise

    return Calls(partial(dial, confirms, prepare), serve, hang_up, errors, kind_of)
