"""Connections to NATS: the one file that knows nats-py, shared by core and JetStream."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, Error
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

from brokers.connection import Calls
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.reconnect import finish, heartbeat_s, quietly, reason, uncancelled
from brokers.tls import tls_context
from brokers.topic_names import TopicNames

__all__ = [
    "MAX_TOPIC_BYTES",
    "PORT",
    "Error",
    "Msg",
    "NatsConnection",
    "Subscription",
    "calls",
    "confirm",
    "dial",
    "end_subscription",
    "ensure_stream",
    "hang_up",
    "kind_of",
    "place",
    "push_consumer",
    "subject_of",
    "subscribe",
    "topic_names",
    "until_lost",
]

PORT = 4222
MAX_TOPIC_BYTES = 3_800
"""A server's control line has 4,096 bytes unless it is told otherwise; the rest is for what stands beside the subject."""
_REQUEST_TIMEOUT_S = 1.0
_CLOSE_TIMEOUT_S = 0.5
_LOOK_S = 0.5
"""How often a connection is asked whether nats-py has given it up: it tells so only when all was written."""
_NEVER_S = 1_000_000
_CONSUMER_EXPIRES_S = 1.0
"""How long the broker keeps a consumer whose connection is gone. The next connection starts another one."""
_SPECIAL = re.compile(r"[*>%\s\x00-\x1f\x7f]")
_REFUSED = re.compile(r'permissions violation for (?:publish|subscription) to "([^"]+)"', re.IGNORECASE)
_EMPTY_TOKEN = re.compile(r"^\.|\.\.|\.$")


def subject_of(topic: str) -> str:
    """The NATS subject of a topic: the same word, with percent codes for what NATS gives a meaning of its own."""
    subject = _SPECIAL.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), topic)
    return subject.replace(".", "%2E") if _EMPTY_TOKEN.search(subject) else subject


def topic_names(endpoint: Endpoint) -> TopicNames:
    """Topics as subjects, none with a wildcard."""
    return TopicNames(endpoint, MAX_TOPIC_BYTES, subject_of)


def kind_of(error: BaseException) -> CauseKind | None:
    """What nats-py's errors mean."""
    return CauseKind.LOST if isinstance(error, ConnectionClosedError) else None


@dataclass(slots=True)
class NatsConnection:
    """A connection, and the event that it is closed for good: nats-py's own reconnecting is off."""

    client: Any = field(default_factory=Client)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    refused: dict[str, Exception] = field(default_factory=dict)
    """By subject: what this user may not publish on or subscribe to, which the broker says at some later time."""
    subscriptions: dict[str, Subscription | None] = field(default_factory=dict)
    """By subject; None while it is on its way to the broker."""
    backlog: deque[tuple[int, str, bytes]] = field(default_factory=deque)
    """For JetStream: messages that there was no room for."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    to_acknowledge: str = ""
    confirming: asyncio.Future[None] | None = None
    """A ping that is still to be sent."""

    @property
    def jetstream(self) -> JetStreamContext:
        """Its JetStream interface."""
        if self._jetstream is None:
            self._jetstream = self.client.jetstream(timeout=_REQUEST_TIMEOUT_S)
        return self._jetstream

    _jetstream: JetStreamContext | None = None


async def dial(endpoint: Endpoint) -> NatsConnection:
    """Connect and log in."""
    link = NatsConnection()

    async def on_error(error: Exception) -> None:
        link.error = error
        match = _REFUSED.search(str(error))
        if match is not None:
            link.refused[match[1]] = error

    async def on_closed() -> None:
        link.closed.set()

    secure = endpoint.scheme.endswith("+tls")
    options: dict[str, Any] = {"tls": tls_context(endpoint)} if secure else {}
    try:
        connecting = link.client.connect(
            f"nats://{_bracketed(endpoint.host)}:{endpoint.port or PORT}",
            user=endpoint.username,
            password=endpoint.password,
            error_cb=on_error,
            closed_cb=on_closed,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # nats-py tries for ever without; it also paces attempts itself
            reconnect_time_wait=0,
            connect_timeout=endpoint.timeout_s,
            ping_interval=heartbeat_s(endpoint),
            max_outstanding_pings=2,
            skip_subject_validation=True,  # subject_of has seen to it
            **options,
        )
        await uncancelled(connecting)
    except BaseException as error:
        _abort(link)
        await finish(quietly(hang_up(link), _CLOSE_TIMEOUT_S))
        said = error if link.error is None or not isinstance(error, Error) else link.error
        if (link.client._server_info or {}).get("auth_required"):
            if type(said) is Error:  # what the broker says; nats-py's own errors are of further classes
                raise BrokerError(endpoint, "connect", reason(said), CauseKind.AUTHENTICATION) from None
            if isinstance(said, ConnectionError):  # it closes right behind its refusal, which then may never be read
                cause = f"{reason(said)}, while logging in"
                raise BrokerError(endpoint, "connect", cause, CauseKind.AUTHENTICATION) from None
        if not isinstance(said, Error):
            raise said from None  # what the socket said, not nats-py's "no servers available"
        raise
    if secure and not link.client._server_info.get("tls_required"):
        await finish(quietly(hang_up(link), endpoint.timeout_s))
        cause, step = "the broker does not ask for TLS", "use a scheme without +tls"
        raise BrokerError(endpoint, "connect", cause, CauseKind.WRONG_PROTOCOL, step)
    return link


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def until_lost(link: NatsConnection) -> None:
    """Return when the connection is closed.

    Raises:
        ConnectionError: it was lost; the message has nats-py's last error.
    """
    while not (link.closed.is_set() or link.client.is_closed):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await link.closed.wait()
    _abort(link)  # nats-py, before it says that it is closed, writes what it still has: a silent link never takes that
    last = link.client.last_error
    raise ConnectionError(reason(last) if last else "closed by the broker")


async def hang_up(link: NatsConnection) -> None:
    """Write what is not written yet, and close. Requests and writes under way fail; nats-py lets them wait."""
    try:
        await link.client.close()
    finally:
        link.closed.set()  # also where closing was cut short
        requests: dict[str, asyncio.Future[Msg]] = getattr(link.client, "_resp_map", None) or {}
        for answer in list(requests.values()):
            if not answer.done():
                answer.set_exception(ConnectionClosedError())
        _abort(link)
        flushes: asyncio.Queue[asyncio.Future[None]] | None = link.client._flush_queue
        while flushes is not None and not flushes.empty():  # nats-py's writer, which ends them, has ended itself
            flush = flushes.get_nowait()
            if not flush.done():
                flush.set_result(None)
        for subscription in link.client._subs.values():  # nats-py's own close may have broken off at a write
            task: asyncio.Task[None] | None = subscription._wait_for_msgs_task
            if task is not None:
                task.cancel()


def _abort(link: NatsConnection) -> None:
    """Closing TLS waits for a peer that may not answer."""
    transport = link.client._transport
    for writer in (getattr(transport, "_io_writer", None), getattr(transport, "_bare_io_writer", None)):
        if writer is not None:
            writer.transport.abort()


async def confirm(link: NatsConnection) -> None:
    """Return once the broker has done all that was sent; calls that overlap share a ping.

    Raises:
        ConnectionClosedError: the connection was closed before the broker answered.
    """
    if link.confirming is None:
        link.confirming = asyncio.ensure_future(_ping(link))
        link.confirming.add_done_callback(lambda ping: ping.cancelled() or ping.exception())  # nobody may wait any more
    await asyncio.shield(link.confirming)


async def _ping(link: NatsConnection) -> None:
    """nats-py's own flush lets its ping overtake what is pending, and a flush that gives up breaks the reading when
    the answer comes after all: so no caller's deadline reaches it."""
    while link.client.pending_data_size and not link.client.is_closed:  # noqa: ASYNC110 - a turn or two of the loop
        await asyncio.sleep(0)
    link.confirming = None  # what is sent from now on is behind the ping
    answered = asyncio.ensure_future(link.client.flush(_NEVER_S))
    closed = asyncio.ensure_future(link.closed.wait())
    try:
        await asyncio.wait({answered, closed}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ConnectionClosedError
        answered.result()
    finally:
        answered.cancel()
        closed.cancel()


def calls(prepare: Callable[[NatsConnection], Awaitable[None]] | None = None) -> Calls[NatsConnection]:
    """nats-py for `brokers.connection`; `prepare` is done on each new connection."""

    async def connect(endpoint: Endpoint) -> NatsConnection:
        link = await dial(endpoint)
        if prepare is not None:
            try:
                await prepare(link)
            except BaseException:
                await finish(quietly(hang_up(link), endpoint.timeout_s))
                raise
        return link

    return Calls(connect, until_lost, hang_up, (Error, OSError), kind_of)


class NatsSink:
    """Stands in for a subscription's queue: a message goes straight to a function, without a task in between."""

    def __init__(self, take: Callable[[Msg], None]) -> None:
        self.put_nowait = take

    def empty(self) -> bool:
        """Nothing is ever in it."""
        return True


async def subscribe(link: NatsConnection, subject: str, take: Callable[[Msg], None]) -> Subscription:
    """Call `take` for each message. nats-py's callbacks cost a queue and a task switch for each message."""
    subscription: Subscription = await link.client.subscribe(subject, pending_bytes_limit=0)
    early: Any = subscription._pending_queue
    subscription._pending_queue = cast("Any", NatsSink(take))
    while not early.empty():
        take(early.get_nowait())
    return subscription


async def ensure_stream(link: NatsConnection, name: str, subjects: Sequence[str], length: int) -> int:
    """Create the stream, in files and at most `length` messages long, or use the one that is there.

    Returns the sequence number of its last message, 0 for none.
    """
    config = StreamConfig(name=name, subjects=list(subjects), max_msgs=length, storage=StorageType.FILE)
    while True:
        try:
            info = await uncancelled(link.jetstream.add_stream(config))
        except BadRequestError:  # it is there with other settings, which are its owner's
            info = await uncancelled(link.jetstream.stream_info(name))
        except TimeoutError:  # a server that has just started drops requests; the caller's deadline ends this
            continue
        return int(info.state.last_seq)


async def push_consumer(
    link: NatsConnection, stream: str, take: Callable[[Msg], None], policy: str, **options: Any
) -> tuple[Subscription, int]:
    """Start an ephemeral consumer whose messages go to `take`, and say how many wait for it.

    Acknowledging one message acknowledges all before it; nats-py's ordered consumer has no such brake.
    """
    inbox = link.client.new_inbox()
    subscription = await subscribe(link, inbox, take)
    config = ConsumerConfig(
        deliver_subject=inbox,
        deliver_policy=DeliverPolicy(policy),
        ack_policy=AckPolicy.ALL,
        mem_storage=True,
        inactive_threshold=_CONSUMER_EXPIRES_S,
        **options,
    )
    try:
        info = await uncancelled(link.jetstream._jsm.add_consumer(stream, config=config))
    except BaseException:
        await end_subscription(subscription)
        raise
    return subscription, int(info.num_pending or 0)


async def end_subscription(subscription: Subscription) -> None:
    """Without it the broker removes the ephemeral consumer too."""
    with contextlib.suppress(Error):  # closed
        await subscription.unsubscribe()


def place(message: Msg) -> tuple[int, int]:
    """The message's sequence number in its stream, and how many messages wait behind it for its consumer.

    They are words of the reply subject, in one of two forms: `$JS.ACK.<stream>.<consumer>.<delivered>.<number>…`,
    and from a server with a domain one with two more words in front. Source: NATS ADR-15.
    """
    words = message.reply.split(".")
    return (int(words[5]), int(words[8])) if len(words) == 9 else (int(words[7]), int(words[10]))
