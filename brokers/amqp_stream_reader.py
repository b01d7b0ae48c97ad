"""Reads a RabbitMQ stream by offset, and finds its end, which the broker does not report."""

from __future__ import annotations

import asyncio
import datetime
import logging
import secrets
from collections import deque
from typing import Any

from aiormq.abc import DeliveredMessage

from brokers.amqp_errors import errors, kind_of, words_of
from brokers.amqp_link import AmqpConnection
from brokers.amqp_once import once_connected
from brokers.amqp_producer import AmqpPublisher
from brokers.endpoint import Endpoint
from brokers.errors import CauseKind

_PREFETCH = 1_000
_ACK_EVERY = 64
ACK_S = 1.0
"""RabbitMQ closes a channel that does not answer a message within its `consumer_timeout`."""
QUIET_S = 1.0
"""If no marker can be written, this much silence counts as the end."""
_MARKER = "fanbench.marker."
_OFFSET = "x-stream-offset"
_log = logging.getLogger("fanbench.brokers")


class AmqpStreamReader:
    """A consumer of the stream on a channel: messages by offset, in order, at most `_PREFETCH` in flight."""

    def __init__(self, channel: Any, stream: str) -> None:
        self._channel = channel
        self._stream = stream
        self._tag = f"fanbench.{secrets.token_hex(8)}"
        self._arrived: deque[DeliveredMessage] = deque()
        self._wake = asyncio.Event()
        self._read = 0
        self._last_tag = 0

    async def start(self, offset: int | str | datetime.datetime) -> None:
        """Return once the broker confirmed; later entries then arrive."""
        await self._channel.basic_qos(prefetch_count=_PREFETCH)
        await self._channel.basic_consume(self._stream, self._take, consumer_tag=self._tag, arguments={_OFFSET: offset})

    async def _take(self, message: DeliveredMessage) -> None:
        self._arrived.append(message)
        self._wake.set()

    async def next(self) -> tuple[int, str, bytes]:
        """Offset, routing key and payload of the next message; acknowledges the previous one."""
        while not self._arrived:
            self._wake.clear()
            await self._wake.wait()
        message = self._arrived.popleft()
        self._read += 1
        self._last_tag = message.delivery_tag or 0
        if self._read >= _ACK_EVERY:
            await self._acknowledge()
        headers: dict[str, Any] = message.header.properties.headers or {}
        return headers[_OFFSET], message.routing_key or "", message.body

    async def _acknowledge(self) -> None:
        self._read = 0
        await self._channel.basic_ack(self._last_tag, multiple=True, wait=False)

    async def acknowledge_by_time(self) -> None:
        """Regularly acknowledge messages that do not fill a batch, until cancelled."""
        while True:
            await asyncio.sleep(ACK_S)
            if self._read:
                await self._acknowledge()

    async def until_marker(self, name: str) -> int:
        """Read up to the message with that routing key; return its offset."""
        while True:
            offset, routing_key, _ = await self.next()
            if routing_key == name:
                return offset

    async def until_quiet(self) -> int:
        """Read until nothing has arrived for a while; return the last offset, or -1 if nothing arrived."""
        offset = -1
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    offset, _, _ = await self.next()
            except TimeoutError:
                return offset


async def mark(endpoint: Endpoint, stream: str) -> str | None:
    """Write a marker to the stream, on a separate connection that an alarm may block; returns its routing key.

    None if the broker accepts no marker: an alarm, or a user who may only read.
    """
    marker = _MARKER + secrets.token_hex(8)
    try:
        async with once_connected(endpoint, confirms=True) as link, asyncio.timeout(endpoint.timeout_s):
            written = asyncio.ensure_future(AmqpPublisher(persistent=True).publish(link, stream, marker, b""))
            alarm = asyncio.ensure_future(link.alarm.wait())
            try:
                await asyncio.wait([written, alarm], return_when=asyncio.FIRST_COMPLETED)
                if written.done():
                    written.result()
                    return marker
                why = link.blocked
            finally:
                written.cancel()
                alarm.cancel()
                await asyncio.wait([written, alarm])
    except errors as error:
        if kind_of(error) is not CauseKind.PERMISSION:
            raise
        why = words_of(error)
    _log.warning("%s: cannot mark the end of the stream: %s; reading until it falls silent", endpoint, why)
    return None


async def end_of(endpoint: Endpoint, link: AmqpConnection, stream: str) -> int:
    """The offset of the stream's last entry; -1 if the stream is empty."""
    channel = await link.another_channel()
    try:
        reader = AmqpStreamReader(channel, stream)
        await reader.start("next")
        marker = await mark(endpoint, stream)
        if marker is not None:
            async with asyncio.timeout(endpoint.timeout_s):
                return await reader.until_marker(marker)
        other = await link.another_channel()
        try:
            last = AmqpStreamReader(other, stream)
            await last.start("last")
            return await last.until_quiet()
        finally:
            await other.close()
    finally:
        await channel.close()
