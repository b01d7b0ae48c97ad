"""Connections to NATS through nats-py, shared by core and JetStream."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.protocol.parser import ERR_RE

from brokers import nats_options
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind
from brokers.nats_errors import Error, kind_of, violation
from brokers.nats_parser import SinkParser
from brokers.nats_requests import Requests
from brokers.reconnect import finish, heartbeat_s, quietly, reason, uncancelled
from brokers.tls import CERT_FILE

_CLOSE_TIMEOUT_S = 0.5
_LOOK_S = 0.5
"""How often to check whether nats-py has given up a connection, because it reports this only after its last write."""
_REFUSALS = 4_096
"""The largest number of remembered refusals; the oldest is forgotten first."""


@dataclass(slots=True)
class NatsConnection:
    """A connection, and an event for its end: nats-py's own reconnecting is off."""

    client: Any = field(default_factory=Client)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    leaving: str = ""
    """Why the server asks its clients to leave; empty while it does not."""
    refused: dict[str, Exception] = field(default_factory=dict)
    """This user's forbidden subjects, which the broker reports asynchronously."""
    subscriptions: dict[str, Subscription | None] = field(default_factory=dict)
    """Subscriptions by subject; None while the request is in flight."""
    confirming: asyncio.Future[None] | None = None
    """A ping that is still to be sent."""
    requests: Requests = field(init=False)
    parser: SinkParser = field(init=False)

    def __post_init__(self) -> None:
        self.requests = Requests(self.client)
        self.parser = self.client._ps = SinkParser(self.client)
        _harden(self.client)

    async def on_error(self, error: Exception) -> None:
        """Called when nats-py reports an error, the server's or its own."""
        self.error = error
        found = violation(error)
        if found is None:
            return
        what, subject = found
        self.requests.refuse(what, subject, error)
        self.refused[subject] = error
        if len(self.refused) > _REFUSALS:
            del self.refused[next(iter(self.refused))]

    async def on_closed(self) -> None:
        """Called when nats-py has closed the connection."""
        self.closed.set()

    async def on_lame_duck(self) -> None:
        """Called when the server is about to stop and asks its clients to use another one."""
        self.leaving = "lame duck mode: the server is about to stop"
        self.closed.set()


def _harden(client: Any) -> None:
    """Make nats-py continue after a subject that is not UTF-8 or a header that it cannot decode: it would stop."""
    headers_of, message_class = client._process_headers, client.msg_class

    async def process_headers(raw: bytes) -> dict[str, str] | None:
        if not raw:
            return None
        try:
            found: dict[str, str] | None = await headers_of(raw)
        except (ValueError, LookupError):
            return None
        return found

    def build_message(sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> Any:
        return message_class(
            subject=subject.decode(errors="surrogateescape"),
            reply=reply.decode(errors="surrogateescape") if reply else "",
            data=data,
            headers=headers,
            _client=client,
            _sid=sid,
        )

    client._process_headers, client._build_message = process_headers, build_message
    _keep_case(client)


def _keep_case(client: Any) -> None:
    """nats-py converts the server's errors to lower case, and the subjects in them too: two may differ only by case."""
    process_err = client._process_err

    async def keep_case(words: str) -> None:
        said = ERR_RE.match(client._ps.buf)
        if said is None or "permissions violation" not in words:
            await process_err(words)
            return
        client._err = Error(f"nats: {said[1].decode().strip(chr(39))}")
        await client._error_cb(client._err)

    client._process_err = keep_case


async def dial(endpoint: Endpoint) -> NatsConnection:
    """Connect and log in. The server lists the connection by the prefix of everything that we create."""
    options = nats_options.login(endpoint)
    link = NatsConnection()
    try:
        connecting = link.client.connect(
            nats_options.server_url(endpoint),
            name=endpoint.prefix,
            error_cb=link.on_error,
            closed_cb=link.on_closed,
            lame_duck_mode_cb=link.on_lame_duck,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # without it nats-py tries forever, and paces the attempts itself
            reconnect_time_wait=0,
            connect_timeout=endpoint.timeout_s,
            ping_interval=heartbeat_s(endpoint),
            max_outstanding_pings=2,
            skip_subject_validation=True,  # subject_of has checked it
            **options,
        )
        await uncancelled(connecting)
    except BaseException as error:
        _abort(link)
        await finish(quietly(hang_up(link), _CLOSE_TIMEOUT_S))
        raise _login_error(endpoint, link, error) from None
    if nats_options.is_secure(endpoint) and not _is_encrypted(endpoint, link):
        await finish(quietly(hang_up(link), endpoint.timeout_s))
        cause, step = "the broker does not ask for TLS", "use a scheme without TLS"
        raise BrokerError(endpoint, "connect", cause, CauseKind.WRONG_PROTOCOL, step)
    reader = getattr(link.client._transport, "_io_reader", None)  # a WebSocket has none
    if reader is not None:
        link.parser.watch(reader)
    return link


def _is_encrypted(endpoint: Endpoint, link: NatsConnection) -> bool:
    return endpoint.scheme.endswith("+wss") or bool(link.client._server_info.get("tls_required"))


def _login_error(endpoint: Endpoint, link: NatsConnection, error: BaseException) -> BaseException:
    """The server's or the socket's error, if nats-py only reports that there are no servers."""
    said = error if link.error is None or not isinstance(error, Error) else link.error
    told = link.client._server_info or {}
    if told.get("tls_verify") and not endpoint.get(CERT_FILE) and isinstance(said, ConnectionError):
        cause = f"{reason(said)}: the broker requires a client certificate"  # nats-py does not always read its alert
        return BrokerError(endpoint, "connect", cause, CauseKind.TLS_CLIENT)
    if told.get("auth_required"):
        if type(said) is Error:  # the broker's message; nats-py's own errors have other classes
            kind = kind_of(said) or CauseKind.AUTHENTICATION
            return BrokerError(endpoint, "connect", reason(said), kind)
        if isinstance(said, ConnectionError):  # it closes right after its refusal, which may then never be read
            return BrokerError(endpoint, "connect", f"{reason(said)}, while logging in", CauseKind.AUTHENTICATION)
    return said if not isinstance(said, Error) else error


async def until_lost(link: NatsConnection) -> None:
    """Return when the connection is closed.

    Raises:
        ConnectionError: it was lost, or the server asks its clients to leave; the message contains nats-py's last error.
    """
    while not (link.closed.is_set() or link.client.is_closed):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await link.closed.wait()
        _require_tasks(link)
    if link.leaving:
        raise ConnectionError(link.leaving)
    _abort(link)  # before nats-py reports the end, it writes what it still has, which a silent link never accepts
    last = link.client.last_error
    raise ConnectionError(reason(last) if last else "closed by the broker")


def _require_tasks(link: NatsConnection) -> None:
    """Check nats-py's tasks: without them a connection no longer reads or writes, and nats-py does not report it.

    Raises:
        ConnectionError: one of them has ended.
    """
    client = link.client
    if client.is_closed:
        return
    for task in (client._reading_task, client._ping_interval_task, client._flusher_task):
        if task is not None and task.done():
            error = None if task.cancelled() else task.exception()
            raise ConnectionError(reason(error) if error else f"nats-py's {task.get_coro().__name__} has ended")


async def hang_up(link: NatsConnection) -> None:
    """Write the remaining bytes, and close. Requests and writes in flight fail; with nats-py alone they would wait."""
    try:
        await link.client.close()
    finally:
        link.closed.set()  # also if closing was cut short
        link.requests.close()
        _abort(link)
        client = link.client
        flushes: asyncio.Queue[asyncio.Future[None]] | None = client._flush_queue
        while flushes is not None and not flushes.empty():  # nats-py's writer would end them, but has ended itself
            flush = flushes.get_nowait()
            if not flush.done():
                flush.set_result(None)
        own = [client._reading_task, client._ping_interval_task, client._flusher_task]
        waiting = [subscription._wait_for_msgs_task for subscription in client._subs.values()]
        for task in (task for task in (*own, *waiting) if task is not None):
            task.cancel()  # nats-py's own close may have failed while writing
            if task.done() and not task.cancelled():
                task.exception()  # its ping ends with the socket's error, which nobody else reads


def _abort(link: NatsConnection) -> None:
    """Close without waiting: closing TLS waits for a peer that may not answer."""
    transport = link.client._transport
    for writer in (getattr(transport, "_io_writer", None), getattr(transport, "_bare_io_writer", None)):
        if writer is not None:
            writer.transport.abort()
    web = getattr(transport, "_client", None)
    if web is not None and not web.closed and web.connector is not None:
        web.connector._close()
        web.detach()
