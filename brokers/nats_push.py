"""JetStream's push consumers: ephemeral, with heartbeats, and acknowledged in order."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brokers.endpoint import Endpoint
from brokers.nats_errors import ERRORS
from brokers.nats_link import NatsConnection
from brokers.nats_parser import Sink
from brokers.nats_stream import DOMAIN, SECOND_NS, ask, stream_of, told, words_of
from brokers.nats_subscriptions import Subscription, confirm, end_subscription, subscribe

HEARTBEAT_S = 0.4
"""How often the server reports that a consumer exists while it has no message."""
ACK_EVERY = 64
WINDOW = 1_000
"""The largest number of unacknowledged messages in flight; more than ACK_EVERY, unless all that is wanted is fewer."""
_IS_THERE_S = 0.5
_NEVER_AGAIN_S = 22 * 3600.0
_CONSUMER_EXPIRES_S = 1.0
"""How long the broker keeps a consumer after its connection is lost. The next connection starts another one."""


@dataclass(frozen=True, slots=True)
class PushConsumer:
    """An ephemeral consumer whose messages go to a function."""

    name: str
    subscription: Subscription
    before: int
    """The number of the message before the first that it will deliver."""
    pending: int
    """How many messages waited for it when it was created."""


async def start_consumer(
    endpoint: Endpoint, link: NatsConnection, take: Sink, start: Mapping[str, Any], window: int = WINDOW
) -> PushConsumer:
    """Start a consumer with heartbeats: messages without a reply subject.

    Acknowledging one message acknowledges all before it; nats-py's ordered consumer has no such brake.

    Raises:
        BrokerError: JetStream's own reason.
    """
    stream, name = stream_of(endpoint), f"{endpoint.prefix}-{secrets.token_hex(8)}"
    inbox = link.client.new_inbox()
    subscription = await subscribe(link, inbox, take)
    config = {
        "name": name,
        "deliver_subject": inbox,
        "ack_policy": "all",
        "max_ack_pending": window,
        "ack_wait": int(_NEVER_AGAIN_S * SECOND_NS),
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": int(_CONSUMER_EXPIRES_S * SECOND_NS),
        "idle_heartbeat": int(HEARTBEAT_S * SECOND_NS),
        **start,
    }
    try:
        found = await ask(endpoint, link, f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config})
    except BaseException as error:
        await end_subscription(link, subscription)
        if isinstance(error, ERRORS):
            raise told(endpoint, f"read stream '{stream}'", error) from None
        raise
    await _require_acknowledging(endpoint, link, f"$JS.ACK.{stream}.{name}", subscription)
    return PushConsumer(name, subscription, found["delivered"]["stream_seq"], int(found.get("num_pending") or 0))


async def _require_acknowledging(
    endpoint: Endpoint, link: NatsConnection, subject: str, subscription: Subscription
) -> None:
    """Check that this user may acknowledge: otherwise it reads one window and then nothing.

    Raises:
        BrokerError: this user may not acknowledge.
    """
    if endpoint.get(DOMAIN):  # the server then chooses another form of the subject
        return
    nothing = f"{subject}.1.0.0.0.0"
    await link.client.publish(nothing, b"+WPI")  # "in progress" for a message that does not exist has no effect
    await confirm(link)
    error = link.refused.pop(nothing, None)
    if error is not None:
        await end_subscription(link, subscription)
        raise told(endpoint, "acknowledge what it reads", error)


async def is_there(endpoint: Endpoint, link: NatsConnection, consumer: str) -> bool:
    """Whether the server that keeps a consumer says that it exists."""
    try:
        async with asyncio.timeout(_IS_THERE_S):
            await ask(endpoint, link, f"CONSUMER.INFO.{stream_of(endpoint)}.{consumer}")
    except ERRORS:
        return False
    return True


def from_number(number: int) -> dict[str, Any]:
    """Start of a consumer: this message, or the first existing one after it."""
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": number}


def from_time(moment_ns: int) -> dict[str, Any]:
    """Start of a consumer: the first message stored at this time or later."""
    return {"deliver_policy": "by_start_time", "opt_start_time": words_of(moment_ns)}


def place(reply: bytes) -> tuple[int, int, int]:
    """A message's number in the stream, when it was stored (ns), and how many more wait for its consumer.

    They are tokens of the reply subject, which has one of two forms:
    `$JS.ACK.<stream>.<consumer>.<delivered>.<number>…`, and from a server with a domain, a form with two more tokens in
    front. Source: NATS ADR-15.
    """
    words = reply.split(b".")
    at = 5 if len(words) == 9 else 7
    return int(words[at]), int(words[at + 2]), int(words[at + 3])


def number_of(reply: bytes) -> int:
    """A message's number in the stream, without the other values of `place`."""
    words = reply.split(b".")
    return int(words[5 if len(words) == 9 else 7])
