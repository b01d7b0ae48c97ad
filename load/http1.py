"""The part of HTTP/1.1 that an event stream needs: the request, the response's head, the chunked body."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import quote

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from core.endpoint.origin import Origin

MAX_HEAD_BYTES = 65_536
_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""A body's parser gets this first: bodies are parsed separately from their heads, often by another parser."""


class Http1Error(Exception):
    """The response is not the expected HTTP; the message says what arrived instead."""


def encode_request(origin: Origin, topic: str, *, last_event_id: str = "", token: str = "") -> bytes:
    """The request for the stream of one topic, as a browser's EventSource sends it."""
    lines = [
        f"GET {origin.prefix}/sse?topic={quote(topic, safe='')} HTTP/1.1",
        f"Host: {origin.authority}",
        "Accept: text/event-stream",
        "Cache-Control: no-cache",
    ]
    if last_event_id:
        lines.append(f"Last-Event-ID: {last_event_id}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A response's status and headers; header names are in lower case."""

    status: int
    headers: dict[str, str]

    @property
    def chunked(self) -> bool:
        """Whether the body is chunked; otherwise it ends with the connection."""
        return self.headers.get("transfer-encoding", "").lower().rpartition(",")[2].strip() == "chunked"

    def require_stream(self) -> None:
        """Raise Http1Error with the received status or type unless this begins an event stream."""
        if self.status != 200:
            raise Http1Error(f"status {self.status}")
        self.require_event_stream()
        if self.headers.get("content-encoding", "identity") != "identity":
            raise Http1Error(f"content-encoding {self.headers['content-encoding']}, which was not requested")

    def require_event_stream(self) -> None:
        """Raise Http1Error with the received type unless the body is an event stream."""
        kind = self.headers.get("content-type", "nothing")
        if not kind.lower().startswith("text/event-stream"):
            raise Http1Error(f"{kind} instead of text/event-stream: is this the path of the stream?")


def split_head(data: bytes, *, complete: bool = False) -> tuple[ResponseHead, bytes] | None:
    """Return the head at the start of `data` and the bytes after it; None while bytes are missing, which is an error with `complete`.

    Raises:
        Http1Error: it is not HTTP/1.x, cut short, or longer than MAX_HEAD_BYTES.
    """
    text, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        if complete:
            raise Http1Error("closed before it answered")
        if len(data) > MAX_HEAD_BYTES:
            raise Http1Error(f"no end of the headers within {MAX_HEAD_BYTES} bytes")
        return None
    headers: dict[str, str] = {}

    def on_header(name: bytes, value: bytes) -> None:
        headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    parser = HttpResponseParser(SimpleNamespace(on_header=on_header))
    try:
        parser.feed_data(text + end)
    except HttpParserUpgrade:  # what follows is a WebSocket
        pass
    except HttpParserError as error:
        raise Http1Error(f"{text[:40]!r} is not the head of an HTTP/1.1 response: {error}") from None
    if not (status := parser.get_status_code()):  # the parser accepts empty lines
        raise Http1Error(f"{data[:40]!r} is not the head of an HTTP/1.1 response")
    return ResponseHead(status, headers), rest


def sole_chunk(data: bytes) -> bytes | None:
    """Return the content of a single complete chunk; None for anything else, which `ChunkedBody` reads."""
    end = data.find(b"\r\n", 0, 10)
    if end < 1 or not data.endswith(b"\r\n") or data[:end].strip(b"0123456789abcdefABCDEF"):
        return None
    size = int(data[:end], 16)
    return data[end + 2 : -2] if 0 < size == len(data) - end - 4 else None


class _ChunksSeen:
    """The target of httptools' callbacks. Not part of ChunkedBody, which would be a reference cycle for each read."""

    __slots__ = ("ended", "pieces", "within")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.within = False
        self.ended = False

    def on_chunk_header(self) -> None:
        self.within = True

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_chunk_complete(self) -> None:
        self.within = False

    def on_message_complete(self) -> None:
        self.ended = True


class ChunkedBody:
    """Removes chunked framing from a body, wherever its bytes are split (RFC 9112, section 7.1).

    `between` is true when the last byte fed ended a chunk; `ended` once the last chunk has come.
    """

    __slots__ = ("_end", "_parser", "_seen", "between", "ended", "reply")

    def __init__(self) -> None:
        self.between = True
        self.ended = False
        self.reply = b""
        self._end = b"\r\n"
        self._seen = _ChunksSeen()
        self._parser: HttpResponseParser | None = None  # made with the first bytes, because an idle client has none

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the pieces of body among them, one for each chunk that they touch.

        Raises:
            Http1Error: the bytes are not chunked framing.
        """
        seen = self._seen
        pieces: list[bytes] = []
        seen.pieces = pieces
        try:
            if self._parser is None:
                self._parser = HttpResponseParser(seen)
                self._parser.feed_data(_CHUNKED_HEAD)
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise Http1Error(f"the body's chunks are broken: {error}") from None
        # A size line that was cut is not called back, and does not end like a chunk.
        self._end = (self._end + data[-2:])[-2:]
        self.between = self._end == b"\r\n" and not seen.within
        self.ended = seen.ended
        return pieces


class PlainBody:
    """The framing of a body that simply ends with its connection."""

    __slots__ = ("between", "ended", "reply")

    def __init__(self) -> None:
        self.between = True
        self.ended = False
        self.reply = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The bytes themselves."""
        return [data]
