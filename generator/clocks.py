"""Compares this host's clock with the replicas', so that the events can say whose clock stamped them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

from core.clock import now_ns
from core.clock_offset import OffsetEstimator
from core.contracts.clock import (
    CLOCK_AGAIN_S,
    CLOCK_ANSWER_BYTES,
    CLOCK_ANSWER_S,
    CLOCK_EVERY_S,
    ClockOffset,
    ClockReading,
)
from core.contracts.codec import DocumentError, decode
from core.errors import UsageError
from core.host_clock import ClockMark, HostClock, short_name

MARK_EVERY_S = 0.2

_log = logging.getLogger("fanbench.generator")


class ReplicaClocks:
    """What this generator knows about the replicas' clocks, and the mark in its events.

    An event may rely on the mark of an event that was sent up to `lasts_ns` before it.
    """

    def __init__(self, lasts_ns: int = 0) -> None:
        self._lasts_ns = lasts_ns
        self.estimators: dict[str, OffsetEstimator] = {}
        self.mark = ""
        self.renew()

    def heard(self, server: str, left_ns: int, remote_ns: int, back_ns: int) -> None:
        """A replica has answered."""
        self.estimators.setdefault(server, OffsetEstimator()).add(left_ns, remote_ns, back_ns)

    def renew(self) -> None:
        """Make the current mark, against the replica with the lowest name."""
        clock = HostClock.read()
        at_ns = now_ns()
        server = min(self.estimators, default="")
        # An event may carry the mark until the next one is made.
        reach_ns = int(2 * MARK_EVERY_S * 1e9) + self._lasts_ns
        ahead = self.estimators[server].at(at_ns + reach_ns, reach_ns) if server else None
        self.mark = ClockMark(clock, short_name(server) if ahead else "", ahead).encode()

    def offsets(self) -> dict[str, ClockOffset]:
        """Each replica's clock relative to this one, as known now."""
        known = {name: one.at(now_ns()) for name, one in sorted(self.estimators.items())}
        return {
            name: ClockOffset(ahead_ms=one.ns / 1e6, bound_ms=one.bound_ns / 1e6)
            for name, one in known.items()
            if one is not None
        }


@asynccontextmanager
async def compared(clocks: ReplicaClocks, urls: Sequence[str]) -> AsyncIterator[None]:
    """Request each replica's clock, ten times a second, and update the mark.

    Raises:
        UsageError: a URL is not one of a replica.
    """
    addresses = [read_address(url) for url in urls]
    tasks = [asyncio.create_task(_follow(clocks, *address)) for address in addresses]
    tasks.append(asyncio.create_task(_renew(clocks)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def read_address(url: str) -> tuple[str, int, str]:
    """Host, port and path of the clock of a replica's base URL.

    Raises:
        UsageError: it is not an http:// URL with a host.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname:
            return parts.hostname, parts.port or 80, f"{parts.path.rstrip('/')}/clock"
    raise UsageError(f"FANBENCH_REPLICAS: {url!r} is not an http:// URL with a host; give http://HOST:PORT,http://…")


async def _renew(clocks: ReplicaClocks) -> None:
    while True:
        clocks.renew()
        await asyncio.sleep(MARK_EVERY_S)


async def _follow(clocks: ReplicaClocks, host: str, port: int, path: str) -> None:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    request = f"GET {path} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode()
    told = False
    while True:
        try:
            async with asyncio.timeout(CLOCK_ANSWER_S):
                reader, writer = await asyncio.open_connection(host, port)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while True:
                    async with asyncio.timeout(CLOCK_ANSWER_S):
                        await _ask(clocks, reader, writer, request)
                    await asyncio.sleep(CLOCK_EVERY_S)
            finally:
                writer.close()
        except (OSError, UnicodeError, HttpParserError, DocumentError) as error:
            if not told:
                _log.warning("http://%s%s does not report its clock: %s; trying again", where, path, error)
            told = True
            await asyncio.sleep(CLOCK_AGAIN_S)


class _Answer:
    """The target of httptools' callbacks."""

    def __init__(self) -> None:
        self.body = b""
        self.whole = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.whole = True


async def _ask(
    clocks: ReplicaClocks,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: bytes,
) -> None:
    answer = _Answer()
    parser = HttpResponseParser(answer)
    if writer.is_closing():  # reset since the last answer: uvloop raises RuntimeError for a write
        raise ConnectionResetError("closed between two answers")
    left_ns, back_ns = now_ns(), 0
    writer.write(request)
    while not answer.whole:
        data = await reader.read(CLOCK_ANSWER_BYTES)
        back_ns = back_ns or now_ns()  # with the first byte: it read its clock before that
        if not data:
            raise ConnectionResetError("closed before it answered")
        parser.feed_data(data)
        if len(answer.body) > CLOCK_ANSWER_BYTES:
            raise ConnectionResetError("the answer has no end")
    reading = decode(ClockReading, answer.body, "/clock")
    clocks.heard(reading.server, left_ns, reading.now_ns, back_ns)
