"""The transport below aiormq's connection, and the broker's refusal to open it."""

from __future__ import annotations

import asyncio
from typing import Any

import pamqp.frame
from aiormq import spec
from aiormq.connection import TransportFactory
from aiormq.exceptions import ConnectionClosed
from pamqp.exceptions import PAMQPException


class AmqpWire:
    """Makes the connection's transport and keeps it, because aiormq would wait for a peer that never answers.

    Until `opened` it keeps the last frame: aiormq reports a refused virtual host as an unexpected frame.
    """

    def __init__(self, factory: TransportFactory) -> None:
        self._factory = factory
        self._writer: asyncio.StreamWriter | None = None
        self._reader: Any = None
        self._frame = b""

    async def create(self, url: Any, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Called by aiormq."""
        self._reader, self._writer = await self._factory.create(url, **options)
        read = self._reader.readexactly

        async def readexactly(size: int) -> bytes:
            found: bytes = await read(size)
            self._frame = found if size == 1 else self._frame + found  # aiormq reads a frame's first byte separately
            return found

        self._reader.readexactly = readexactly
        return self._reader, self._writer

    def opened(self) -> None:
        """Stop keeping frames: a refusal can no longer arrive."""
        del self._reader.readexactly

    def refusal(self) -> ConnectionClosed | None:
        """The broker's error message, if it answered by closing the connection."""
        try:
            frame = pamqp.frame.unmarshal(self._frame)[2]
        except (PAMQPException, ValueError, IndexError):
            return None
        return ConnectionClosed(frame.reply_text) if isinstance(frame, spec.Connection.Close) else None

    def abort(self) -> None:
        """Close the socket at once."""
        if self._writer is not None:
            self._writer.transport.abort()
