"""Connections to NATS: the one file that knows nats-py, shared by core and JetStream."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error, SlowConsumerError

from brokers.endpoint import BrokerError, Endpoint
from brokers.inbox import Inbox
from brokers.lines import Calls
from brokers.reconnect import HEARTBEAT_S, reason
from brokers.tls import tls_context

__all__ = ["Error", "Link", "Msg", "Subscription", "calls", "subject_of"]

DEFAULT_PORT = 4222
_SPECIAL = re.compile(r"[*>%\s\x00-\x1f\x7f]")
_EMPTY_TOKEN = re.compile(r"^\.|\.\.|\.$")


def subject_of(topic: str) -> str:
    """The NATS subject of a topic: the same word, with percent codes for what NATS gives a meaning of its own."""
    subject = _SPECIAL.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), topic)
    return subject.replace(".", "%2E") if _EMPTY_TOKEN.search(subject) else subject


@dataclass(slots=True)
class Link:
    """A connection, and the event that it is closed for good: nats-py's own reconnecting is off."""

    client: Any = field(default_factory=Client)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    subscriptions: dict[str, Subscription | None] = field(default_factory=dict)
    """By subject; None while it is on its way to the broker."""


async def dial(endpoint: Endpoint, inbox: Inbox | None = None) -> Link:
    """Connect and log in; what nats-py drops because a reader is behind is counted in `inbox`."""
    link = Link()

    async def on_error(error: Exception) -> None:
        if isinstance(error, SlowConsumerError) and inbox is not None:
            inbox.drop(1)
        else:
            link.error = error

    async def on_closed() -> None:
        link.closed.set()

    secure = endpoint.scheme.endswith("+tls")
    options: dict[str, Any] = {"tls": tls_context(endpoint)} if secure else {}
    try:
        await link.client.connect(
            f"nats://{_bracketed(endpoint.host)}:{endpoint.port or DEFAULT_PORT}",
            user=endpoint.username,
            password=endpoint.password,
            error_cb=on_error,
            closed_cb=on_closed,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # nats-py tries for ever without; it also paces attempts itself
            reconnect_time_wait=0,
            connect_timeout=endpoint.timeout_s,
            ping_interval=HEARTBEAT_S,
            max_outstanding_pings=2,
            **options,
        )
    except BaseException as error:
        await hang_up(link)
        if isinstance(error, Error) and link.error is not None and not isinstance(link.error, Error):
            raise link.error from None  # what the socket said, not nats-py's "no servers available"
        raise
    if secure and not link.client._server_info.get("tls_required"):
        await hang_up(link)
        raise BrokerError(endpoint, "connect", "the broker does not ask for TLS", "use a scheme without +tls")
    return link


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def until_lost(link: Link) -> None:
    """Return when the connection is closed.

    Raises:
        ConnectionError: it was lost; the message has nats-py's last error.
    """
    await link.closed.wait()
    last = link.client.last_error
    raise ConnectionError(reason(last) if last else "closed by the broker")


async def hang_up(link: Link) -> None:
    """Write what is not written yet, and close."""
    await link.client.close()


def calls(endpoint: Endpoint, inbox: Inbox | None = None) -> Calls[Link]:
    """nats-py for `brokers.lines`."""
    return Calls(partial(dial, endpoint, inbox), until_lost, hang_up, (Error, OSError))
