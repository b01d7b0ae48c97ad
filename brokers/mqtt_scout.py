"""Tries topics on a separate connection first, if the broker answers forbidden ones by closing the connection.

RabbitMQ 3 and some hosted brokers do so. On the consumer's own connection, one client's topic would interrupt all
others.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from brokers.endpoint import Endpoint
from brokers.errors import Refusal, refusal_of
from brokers.mqtt_codes import PublishRefusedError
from brokers.mqtt_link import Connection, MqttError, connect, disconnect
from brokers.reconnect import finish, uncancelled

_TRIES = 2
"""A connection may be lost for another reason while a topic is requested, but rarely twice right after connecting."""
_FORBIDDEN = "the broker closed the connection each time for this topic, as some do instead of refusing it"


class Scout:
    """Each consumer has one. It is `needed` once the broker has hung up where another broker would refuse."""

    def __init__(self, new: Callable[[], Connection], qos: int) -> None:
        self.needed = False
        self._new = new
        self._qos = qos
        self._connection: Connection | None = None
        self._alone = asyncio.Lock()

    async def look(self, connection: Connection, endpoint: Endpoint) -> bool:
        """Try an unused topic, which a user with few rights may not use; False if the broker closed the connection.

        Raises:
            MqttError: it does not answer.
        """
        nobodys = f"{endpoint.prefix}-probe-{secrets.token_hex(8)}"
        try:
            if not await connection.subscribe([nobodys], 0):
                await connection.unsubscribe([nobodys])
        except MqttError:
            if not connection.lost:
                raise
            self.needed = True
        return not connection.lost

    async def ask(self, names: Sequence[str]) -> dict[str, Refusal]:
        """Subscribe to these names and unsubscribe again.

        Return those that the broker refuses, with or without a reason.

        Raises:
            MqttError, OSError: the broker cannot be connected to, or does not answer.
        """
        async with self._alone:
            try:
                return await self._ask(names, 1)
            except BaseException:  # it may have subscribed to some names, or may still wait for an answer
                await self.close()
                raise

    async def _ask(self, names: Sequence[str], tries: int) -> dict[str, Refusal]:
        connection = await self._connected()
        try:
            refused = await connection.subscribe(names, self._qos)
            await connection.unsubscribe([name for name in names if name not in refused])
        except MqttError:
            if not connection.lost:
                raise
        else:
            return refused
        if len(names) > 1:
            half = len(names) // 2
            return await self._ask(names[:half], 1) | await self._ask(names[half:], 1)
        if tries < _TRIES:
            return await self._ask(names, tries + 1)
        return {names[0]: Refusal("forbidden", _FORBIDDEN)}

    async def publish(self, name: str, payload: bytes) -> Refusal | None:
        """Publish with QoS 1; returns the refusal if the broker refuses, with or without a reason.

        Raises:
            MqttError, OSError: the broker cannot be connected to, or does not answer.
        """
        async with self._alone:
            for _ in range(_TRIES):
                connection = await self._connected()
                try:
                    await connection.publish(name, payload, 1)
                except PublishRefusedError as error:
                    refusal = refusal_of(error.kind, str(error))
                    if refusal is None:
                        raise
                    return refusal
                except MqttError:
                    if not connection.lost:
                        raise
                else:
                    return None
        return Refusal("forbidden", _FORBIDDEN)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.lost:
            await self.close()
            self._connection = await connect(self._new())
        return self._connection

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await finish(uncancelled(disconnect(connection)))
