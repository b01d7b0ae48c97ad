"""Connections to MQTT brokers: the one file that knows aiomqtt, and the paho inside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiomqtt import Client, MqttCodeError, MqttError

from brokers.connection import Calls
from brokers.endpoint import Endpoint
from brokers.errors import CauseKind, Refusal
from brokers.reconnect import finish, heartbeat_s, reason, uncancelled
from brokers.tls import tls_context

__all__ = [
    "MAX_TOPIC_BYTES",
    "PORTS",
    "Client",
    "MqttError",
    "MqttSink",
    "calls",
    "connect",
    "disconnect",
    "kind_of",
    "new_client",
    "refusal_of_code",
]

PORTS = {"mqtt": 1883, "mqtts": 8883}
MAX_TOPIC_BYTES = 65_535
"""The length of a string is two bytes."""
_CODES = {
    0x84: CauseKind.WRONG_PROTOCOL,
    0x85: CauseKind.INVALID,
    0x86: CauseKind.AUTHENTICATION,
    0x87: CauseKind.AUTHENTICATION,
}
"""MQTT's reason codes of a refused connection: protocol version, client identifier, user or password, not authorized."""
_REFUSED = 0x80
"""From this return code on a subscription was refused; MQTT 3.1.1 has no other, and no words."""
IN_FLIGHT = 64
"""Publishes under way at once. aiomqtt looks through all of them at each publish."""
_POLL_S = 0.01
_silent = logging.getLogger("fanbench.brokers.mqtt")
_silent.setLevel(logging.CRITICAL)  # errors are raised to us as well


class MqttSink:
    """Stands in for aiomqtt's queue: a message goes straight to `take(name, payload)`, without a task for each."""

    def __init__(self, take: Callable[[str, bytes], None]) -> None:
        self._take = take

    def put_nowait(self, message: Any) -> None:
        """A message came; called from the loop's reader callback."""
        self._take(message.topic.value, message.payload)

    async def get(self) -> None:
        """Wait for ever: nothing comes this way. aiomqtt's iterator ends it when the connection is lost."""
        await asyncio.get_running_loop().create_future()


def new_client(
    endpoint: Endpoint, session: str | None = None, sink: MqttSink | None = None, clean: bool = True
) -> Client:
    """A client, not connected; with a `session` the broker knows it again."""
    options: dict[str, Any] = {"queue_type": lambda maxsize: sink} if sink is not None else {}  # noqa: ARG005
    client = Client(
        endpoint.host,
        endpoint.port or PORTS[endpoint.scheme],
        username=endpoint.username,
        password=endpoint.password,
        identifier=session,
        clean_session=clean,
        timeout=endpoint.timeout_s,
        keepalive=max(1, round(2 * heartbeat_s(endpoint))),
        max_inflight_messages=IN_FLIGHT,
        max_concurrent_outgoing_calls=IN_FLIGHT,
        tls_context=tls_context(endpoint) if endpoint.scheme == "mqtts" else None,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_silent,
        **options,
    )
    client.pending_calls_threshold = IN_FLIGHT  # it warns of every publish beyond ten
    return client


async def connect(client: Client) -> Client:
    """Connect and log in."""
    client._client.connect_timeout = client.timeout
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await uncancelled(asyncio.shield(connecting))
    except BaseException:
        await finish(_abandon(client, connecting))
        raise
    # asyncio complains about an exception that nobody asked for.
    client._disconnected.add_done_callback(lambda lost: lost.cancelled() or lost.exception())
    return client


async def _abandon(client: Client, connecting: asyncio.Future[Any]) -> None:
    """aiomqtt connects its socket in a thread, which nobody can stop: it comes to its end by its own time-out."""
    while not connecting.done() and client._client.socket() is None:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_POLL_S)
    connecting.cancel()
    await asyncio.wait([connecting])
    await disconnect(client)


async def disconnect(client: Client) -> None:
    """Disconnect, and end what aiomqtt leaves open: socket and task after a failure, and calls that wait for an answer.

    A publish that waits returns then, and must look whether its connection is still the one in use.
    """
    connected, lost = client._connected, client._disconnected
    if connected.done() and not connected.cancelled() and connected.exception() is None and not lost.done():
        with contextlib.suppress(MqttError, OSError):
            await client.__aexit__(None, None, None)
    client._client._reset_sockets()
    if client._misc_task is not None:
        client._misc_task.cancel()
        await asyncio.wait([client._misc_task])
    for answer in client._pending_subscribes.values():
        if not answer.done():
            answer.set_exception(MqttError("connection lost"))
    for event in (*client._pending_publishes.values(), *client._pending_unsubscribes.values()):
        event.set()


async def until_lost(client: Client) -> None:
    """Wait for the end of the connection, which aiomqtt tells to whoever iterates.

    Raises:
        ConnectionError: it is lost; the message has what paho said.
    """
    try:
        async for _ in client.messages:
            pass
    except MqttError as error:
        raise ConnectionError(reason(error.__cause__ or error)) from None


def kind_of(error: BaseException) -> CauseKind | None:
    """What aiomqtt's errors mean."""
    if isinstance(error, MqttCodeError):
        return _CODES.get(code_of(error.rc))
    return CauseKind.INVALID if isinstance(error, ValueError) else None


def code_of(code: Any) -> int:
    """The number of a reason code, which paho gives as an object or as a number, or not at all."""
    return int(getattr(code, "value", code) or 0)


def refusal_of_code(code: Any) -> Refusal | None:
    """What a return code of SUBACK means; None for a confirmation."""
    value = code_of(code)
    return Refusal("forbidden", f"the broker refused the subscription (0x{value:02X})") if value >= _REFUSED else None


def calls(client: Callable[[Endpoint], Client]) -> Calls[Client]:
    """aiomqtt for `brokers.connection`; `client` makes a new one for each connection."""

    async def dial(endpoint: Endpoint) -> Client:
        return await connect(client(endpoint))

    return Calls(dial, until_lost, disconnect, (MqttError, OSError), kind_of)
