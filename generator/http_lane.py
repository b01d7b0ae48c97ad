"""One kept HTTP/1.1 connection to a service's publishing address: requests go out in order, some before earlier answers have arrived."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from typing import NamedTuple, cast

from httptools import HttpParserError, HttpResponseParser

from core.endpoint.origin import Origin
from core.endpoint.tls import why_lost
from core.errors import FanbenchError

ANSWER_S = 10.0
CONNECT_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
"""The delay between two attempts to connect, doubled after each failure."""
_SHOWN_BYTES = 100


class PublishError(FanbenchError):
    """An event was not accepted, or its fate is unknown; failures of one kind have the same `reason`."""

    transient = True

    def __init__(self, where: str, reason: str, detail: str = "") -> None:
        super().__init__(f"publish to {where}: {reason}{f': {detail}' if detail else ''}")
        self.reason = reason


class LaneTls(NamedTuple):
    """TLS of a connection: who is trusted, and the name that the server must have."""

    context: ssl.SSLContext
    server_name: str


class _Exchange(NamedTuple):
    request: bytes
    answered: asyncio.Future[None]


class HttpLane(asyncio.Protocol):
    """Sends requests in order over one connection, which opens with the first request and again when it is lost.

    At most `depth` are under way; further ones wait. After `Connection: close`, requests without an
    answer are sent again, because it means that the server accepts no more. If the connection ends without it, they
    fail, because the server may have accepted them.
    """

    def __init__(self, origin: Origin, tls: LaneTls | None, depth: int, answer_s: float = ANSWER_S) -> None:
        self._origin = origin
        self._tls = tls
        self._depth = depth
        self._answer_s = answer_s
        self._waiting: deque[_Exchange] = deque()
        self._sent: deque[_Exchange] = deque()
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before_s = 0.0
        self._cause = ""
        self._parser = HttpResponseParser(self)
        self._status = 0
        self._body = b""
        self._last = False
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    async def send(self, request: bytes) -> None:
        """Send, and return once the answer says that the event was accepted.

        Raises:
            PublishError: the answer says otherwise, or does not arrive.
        """
        if self._transport is None and time.monotonic() < self._not_before_s:
            raise PublishError(self._origin.url, "not connected", self._cause)
        exchange = _Exchange(request, asyncio.get_running_loop().create_future())
        self._waiting.append(exchange)
        self._advance()
        try:
            async with asyncio.timeout(self._answer_s):
                await exchange.answered
        except TimeoutError:
            with contextlib.suppress(ValueError):
                self._waiting.remove(exchange)
            if exchange in self._sent and self._transport is not None:
                self._transport.abort()  # its late answer could be mistaken for the next one
            raise PublishError(self._origin.url, f"no answer within {self._answer_s:g} s") from None

    def _advance(self) -> None:
        if self._transport is None:
            if self._waiting and self._connecting is None and not self._closed:
                self._connecting = asyncio.create_task(self._connect())
            return
        while self._waiting and len(self._sent) < self._depth and not self._transport.is_closing():
            exchange = self._waiting.popleft()
            if not exchange.answered.done():  # the caller may be gone
                self._sent.append(exchange)
                self._transport.write(exchange.request)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: self,
                    self._origin.host,
                    self._origin.port,
                    ssl=self._tls.context if self._tls is not None else None,
                    server_hostname=self._tls.server_name if self._tls is not None else None,
                )
        except (OSError, UnicodeError) as error:  # the latter if no name server accepts the name
            self._connecting = None
            reason = "no connection in time" if isinstance(error, TimeoutError) else "not connected"
            self._cause = why_lost(error) if isinstance(error, OSError) else str(error)
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures, 10))
            self._failures += 1
            self._not_before_s = time.monotonic() + pause_s
            self._fail(self._waiting, reason, self._cause)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        self._connecting, self._failures = None, 0
        self._parser, self._last, self._status = HttpResponseParser(self), False, 0
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not pass isinstance
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(self._sent, "no HTTP answer", str(error))
            if self._transport is not None:
                self._transport.abort()
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self._transport = None
        if self._last and self._sent:
            self._waiting.extendleft(reversed(self._sent))
            self._sent.clear()
        if self._status and self._sent:  # an answer whose body ends with the connection
            self.on_message_complete()
        self._fail(self._sent, "connection lost before the answer", str(error or ""))
        self._advance()

    def on_message_begin(self) -> None:
        """A callback of httptools."""
        self._status, self._body = 0, b""

    def on_headers_complete(self) -> None:
        """A callback of httptools."""
        self._status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        """A callback of httptools."""
        self._body = (self._body + piece)[:_SHOWN_BYTES]

    def on_message_complete(self) -> None:
        """A callback of httptools: an answer is complete."""
        status, self._status = self._status, 0
        if status < 200 or not self._sent:
            return
        exchange = self._sent.popleft()
        if not exchange.answered.done():
            if status < 300:
                exchange.answered.set_result(None)
            else:
                exchange.answered.set_exception(self._refusal(status))
        if self._transport is not None and not self._parser.should_keep_alive():
            self._last = True
            self._transport.close()

    def _refusal(self, status: int) -> PublishError:
        detail = self._body.decode("utf-8", "replace").replace("\n", " ").strip()
        return PublishError(self._origin.url, f"status {status}", detail)

    def _fail(self, exchanges: deque[_Exchange], reason: str, detail: str) -> None:
        while exchanges:
            exchange = exchanges.popleft()
            if not exchange.answered.done():
                exchange.answered.set_exception(PublishError(self._origin.url, reason, detail))

    async def close(self) -> None:
        """Close the connection; requests in flight fail."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._transport is not None:
            self._transport.abort()
        for exchanges in (self._waiting, self._sent):
            self._fail(exchanges, "the generator ended", "")
