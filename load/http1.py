"""HTTP/1.1 by hand, as much of it as an event stream needs: the request, the response's head, the chunked body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from core.errors import UsageError

MAX_HEAD_BYTES = 65_536
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\Z)")


class Http1Error(Exception):
    """What the other end sent is not the HTTP that was asked for; the message says what came instead."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A replica's address, taken apart: `prefix` is the path in front of `/sse`, without a slash at its end."""

    url: str
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"


def parse_origin(url: str) -> Origin:
    """A replica's base URL, such as `http://127.0.0.1:8000`.

    Raises:
        UsageError: it is not an http:// URL with a host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise UsageError(f"replica {url!r}: {error}; give it as http://HOST:PORT") from error
    if parts.scheme == "https":
        raise UsageError(f"replica {url!r}: the load side speaks no TLS; aim at the replica's own http:// port")
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"replica {url!r} is not an http:// URL with a host; give it as http://HOST:PORT")
    return Origin(url, parts.hostname, port, parts.path.rstrip("/"))


def encode_request(origin: Origin, topic: str, *, last_event_id: str = "", token: str = "") -> bytes:
    """The bytes that ask for the stream of one topic, the way a browser's EventSource does."""
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
        """Whether the body comes in chunks; otherwise it ends with the connection."""
        return self.headers.get("transfer-encoding", "").lower().rpartition(",")[2].strip() == "chunked"

    def require_stream(self) -> None:
        """Raise Http1Error, with the status or the type that came instead, unless this begins an event stream."""
        if self.status != 200:
            raise Http1Error(f"status {self.status}")
        kind = self.headers.get("content-type", "nothing")
        if not kind.lower().startswith("text/event-stream"):
            raise Http1Error(f"{kind} instead of text/event-stream")
        if self.headers.get("content-encoding", "identity") != "identity":
            raise Http1Error(f"content-encoding {self.headers['content-encoding']}, which was not asked for")


def split_head(data: bytes, *, complete: bool = False) -> tuple[ResponseHead, bytes] | None:
    """The head at the start of `data` and what follows it; None while more is needed, which `complete` rules out.

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
    first, *lines = text.split(b"\r\n")
    match = _STATUS.match(first)
    if match is None:
        raise Http1Error(f"{first[:40]!r} is not an HTTP/1.1 status line")
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return ResponseHead(int(match[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}), rest


class ChunkedBody:
    """Takes chunked framing off a body, wherever its bytes are cut (RFC 9112, section 7.1).

    `between` is true when the last byte fed ended a chunk; `ended` once the last chunk has come.
    """

    __slots__ = ("_data_left", "_line", "_trailer", "between", "ended", "reply")

    def __init__(self) -> None:
        self.between = True
        self.ended = False
        self.reply = b""
        self._line = b""  # of a size or trailer line that was cut
        self._data_left = 0  # bytes of chunk data still to come, and 2 more for the CRLF after them
        self._trailer = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the pieces of body among them, one for each chunk that they touch.

        Raises:
            Http1Error: the bytes are not chunked framing.
        """
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.ended:
            at = self._data(data, at, pieces) if self._data_left else self._size_line(data, at)
        self.between = not (self._line or self._data_left or self._trailer)
        return pieces

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        body_left = self._data_left - 2
        if body_left > 0:
            piece = data[at : at + body_left]
            pieces.append(piece)
            self._data_left -= len(piece)
            at += len(piece)
        close = data[at : at + self._data_left] if self._data_left <= 2 else b""
        if not b"\r\n".endswith(close) if len(close) == self._data_left else not b"\r\n".startswith(close):
            raise Http1Error(f"{close!r} where a chunk should end")
        self._data_left -= len(close)
        return at + len(close)

    def _size_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        line = self._line + data[at : len(data) if end < 0 else end]
        if len(line) > MAX_HEAD_BYTES:
            raise Http1Error(f"a chunk's size line longer than {MAX_HEAD_BYTES} bytes")
        if end < 0:
            self._line = line
            return len(data)
        self._line = b""
        text = line.removesuffix(b"\r")
        if self._trailer:
            self.ended = not text
            return end + 1
        digits = text.partition(b";")[0].strip()
        try:
            size = int(digits, 16)
        except ValueError:
            raise Http1Error(f"{digits[:20]!r} is not a chunk size") from None
        if size < 0:
            raise Http1Error(f"{digits[:20]!r} is not a chunk size")
        self._trailer = size == 0
        self._data_left = size + 2 if size else 0
        return end + 1


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
