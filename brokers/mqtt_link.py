"""Connections to MQTT brokers, through aiomqtt and the paho inside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from aiomqtt import MqttCodeError, MqttError
from paho.mqtt.packettypes import PacketTypes

from brokers.connection import Calls
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.mqtt_client import (
    HEADERS_BYTES,
    IN_FLIGHT,
    MAX_PACKET_BYTES,
    ClientPlan,
    new_client,
    properties_of,
)
from brokers.mqtt_codes import (
    REFUSED,
    TOO_LARGE,
    NoAnswerError,
    PublishRefusedError,
    code_of,
    kind_of,
    refusal_of_code,
    words_of,
)
from brokers.reconnect import finish, uncancelled

__all__ = ["Connection", "MqttError", "calls", "connect", "disconnect"]

_POLL_S = 0.01


class Connection:
    """An aiomqtt client with our own callbacks where aiomqtt's omit something important.

    aiomqtt ignores the reason code in a publish's answer, and waits forever if the broker closes the connection instead of answering.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        plan: ClientPlan,
        take: Callable[[str, bytes], None] | None = None,
        pass_by: Callable[[str], None] = lambda _: None,
        *,
        history: bool = False,
    ) -> None:
        """The loop's reader callback calls `take(name, payload)` for each message; without a name, `pass_by(reason)`.

        With `history` it also does so for retained messages, which were published before the subscription.
        """
        self._history = history
        self.client = new_client(endpoint, plan, self._logger())
        self.timeout_s = endpoint.timeout_s
        self._take = take
        self._pass_by = pass_by
        self._heard: BaseException | None = None
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)
        self._writing = asyncio.Semaphore(IN_FLIGHT)
        self._max_packet_bytes = MAX_PACKET_BYTES
        paho = self.client._client
        paho.connect_timeout = endpoint.timeout_s
        paho.on_connect = self._on_connect
        paho.on_disconnect = self._on_disconnect
        paho.on_publish = self._on_publish
        paho.on_message = self._on_message

    def _logger(self) -> logging.Logger:
        """paho reports the socket's error only through its logger."""
        # Not registered, because each connection has its own. Below level ERROR paho would log every packet.
        logger = logging.Logger("fanbench.brokers.mqtt", logging.ERROR)
        logger.addFilter(self._overhear)
        return logger

    def _overhear(self, record: logging.LogRecord) -> bool:
        for word in record.args if isinstance(record.args, tuple) else ():
            if isinstance(word, OSError):
                self._heard = word
        return False

    def _on_connect(self, paho: Any, userdata: Any, flags: Any, code: Any, properties: Any = None) -> None:
        most = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
        self._in_flight = asyncio.Semaphore(most)
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES)
        self.client._on_connect(paho, userdata, flags, code, properties)

    def _on_disconnect(self, paho: Any, userdata: Any, flags: Any, code: Any, properties: Any = None) -> None:
        connected = self.client._connected
        if connected.done():
            self.client._on_disconnect(paho, userdata, flags, code, properties)
            self.give_up()
        else:
            self.client._loop.call_soon_threadsafe(self._hung_up_on)

    def _hung_up_on(self) -> None:
        if not self.client._connected.done():
            # A broker that hangs up before it read our packet resets the connection, so either may happen.
            unheard = self._heard is None or isinstance(self._heard, ConnectionResetError | BrokenPipeError)
            error = NoAnswerError() if unheard else MqttError(str(self._heard))
            error.__cause__ = self._heard
            self.client._connected.set_exception(error)

    def _on_publish(self, _paho: Any, _userdata: Any, mid: int, code: Any, _properties: Any = None) -> None:
        answer = self._answers.pop(mid, None)
        if answer is None or answer.done():
            return
        if code_of(code) >= REFUSED:
            answer.set_exception(PublishRefusedError(code))
        else:
            answer.set_result(None)

    def _on_message(self, _paho: Any, _userdata: Any, message: Any) -> None:
        if self._take is None or (message.retain and not self._history):
            return
        try:
            name = message.topic
        except UnicodeDecodeError:  # no subscriber here has a topic that is not text
            self._pass_by("a topic that is not UTF-8")
            return
        self._take(name, message.payload)

    async def publish(self, name: str, payload: bytes, qos: int, retain_s: int | None = None) -> None:
        """QoS 0: return once it is written to the socket. QoS 1: once the broker acknowledged it.

        With `retain_s` the broker keeps the message that long for later subscribers; this needs version 5.

        Raises:
            MqttError: the broker refused it, or the connection was lost. ValueError: `name` is not a topic name.
        """
        if len(payload) + len(name.encode()) + HEADERS_BYTES > self._max_packet_bytes:
            raise PublishRefusedError(TOO_LARGE)  # a broker would close the connection
        async with self._in_flight if qos else self._writing:
            await self._sent(name, payload, qos, retain_s)

    async def _sent(self, name: str, payload: bytes, qos: int, retain_s: int | None) -> None:
        if retain_s is None:
            info = self.client._client.publish(name, payload, qos)
        else:
            expiry = properties_of(PacketTypes.PUBLISH, MessageExpiryInterval=retain_s) if retain_s else None
            info = self.client._client.publish(name, payload, qos, retain=True, properties=expiry)
        if info.rc:
            raise MqttCodeError(info.rc, "Could not publish message")
        if not qos and info.is_published():
            return
        answer = self._answers[info.mid] = self.client._loop.create_future()
        try:
            async with asyncio.timeout(self.timeout_s):
                await answer
        except TimeoutError:
            raise MqttError("no answer") from None
        finally:
            self._answers.pop(info.mid, None)

    async def subscribe(self, names: Sequence[str], qos: int) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each name; the result contains the refused ones."""
        codes = await uncancelled(self.client.subscribe([(name, qos) for name in names]))
        answers = {name: refusal_of_code(code, qos) for name, code in zip(names, codes, strict=True)}
        return {name: refusal for name, refusal in answers.items() if refusal is not None}

    async def unsubscribe(self, names: Sequence[str]) -> None:
        """Return once the broker confirmed, or the connection is lost."""
        if names:
            await uncancelled(self.client.unsubscribe(list(names)))

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self.client._disconnected.done()

    async def until_lost(self) -> None:
        """Wait for the end of the connection.

        Raises:
            ConnectionError: it is lost; the message contains the broker's reason, or the socket's error.
        """
        lost = self.client._disconnected
        await asyncio.wait([lost])
        error = None if lost.cancelled() else lost.exception()
        code = getattr(error, "rc", None)
        if code_of(code) > REFUSED:
            raise ConnectionError(words_of(code))
        raise ConnectionError(str(self._heard or "closed by the broker"))

    def give_up(self) -> None:
        """Fail the callers that wait for an answer, because none will arrive."""
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self.client._pending_subscribes.values()]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(MqttError("connection lost"))
        for event in self.client._pending_unsubscribes.values():
            event.set()


async def connect(connection: Connection) -> Connection:
    """Connect and log in."""
    client = connection.client
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await uncancelled(asyncio.shield(connecting))
    except BaseException:
        await finish(_abandon(connection, connecting))
        raise
    inner = getattr(client._client.socket(), "_socket", None)  # for a WebSocket, for which aiomqtt has no options
    if inner is not None:
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # asyncio complains about an exception that was never retrieved.
    client._disconnected.add_done_callback(lambda lost: lost.cancelled() or lost.exception())
    return connection


async def _abandon(connection: Connection, connecting: asyncio.Future[Any]) -> None:
    """aiomqtt connects its socket in a thread that nobody can stop; it ends by its own timeout."""
    while not connecting.done() and connection.client._client.socket() is None:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_POLL_S)
    connecting.cancel()
    await asyncio.wait([connecting])
    await disconnect(connection)


async def disconnect(connection: Connection) -> None:
    """Disconnect, and end what aiomqtt leaves open: socket and task after a failure, and calls that wait for an answer."""
    client = connection.client
    connected, lost = client._connected, client._disconnected
    if connected.done() and not connected.cancelled() and connected.exception() is None and not lost.done():
        with contextlib.suppress(MqttError, OSError):
            await client.__aexit__(None, None, None)
    client._client._reset_sockets()
    if client._misc_task is not None:
        client._misc_task.cancel()
        await asyncio.wait([client._misc_task])
    connection.give_up()


def calls(new: Callable[[Endpoint], Connection]) -> Calls[Connection]:
    """aiomqtt for `brokers.connection`; `new` makes a client for each connection."""

    async def dial(endpoint: Endpoint) -> Connection:
        return await connect(new(endpoint))

    return Calls(dial, Connection.until_lost, disconnect, (MqttError, OSError), kind_of)
