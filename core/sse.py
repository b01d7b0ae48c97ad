"""Server-Sent Events on the wire: a writer and the matching incremental parser.

Source: WHATWG HTML, section 9.2 (https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_RETRY_DIGITS = 18
"""More digits are not a plausible time, and Python refuses 4,301 or more."""


class SSEEvent(NamedTuple):
    """One dispatched event: its type, its data with LF between lines, and the last event id at that time."""

    event: str
    data: str
    id: str


def encode_event(data: str, *, id: str | None = None, event: str | None = None, retry_ms: int | None = None) -> bytes:
    """One event as UTF-8 bytes with its closing blank line. CR and CRLF within `data` arrive as LF.

    Raises:
        ValueError: `id` or `event` contains a line end, `id` contains NUL, or `retry_ms` is negative.
    """
    if id is not None and (_LINE_END.search(id) or "\0" in id):
        raise ValueError(f"id {id!r} contains a line end or NUL; a client would misread it")
    if event is not None and _LINE_END.search(event):
        raise ValueError(f"event type {event!r} contains a line end; a client would misread it")
    if retry_ms is not None and retry_ms < 0:
        raise ValueError(f"retry_ms {retry_ms} is negative; give milliseconds from 0")
    lines = [] if id is None else [f"id: {id}"]
    if event is not None:
        lines.append(f"event: {event}")
    if retry_ms is not None:
        lines.append(f"retry: {retry_ms}")
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return ("\n".join(lines) + "\n\n").encode()


def encode_comment(text: str = "", *, retry_ms: int | None = None) -> bytes:
    """Comment lines, which clients ignore: they open a stream, carry `retry:`, and are the heartbeat.

    They have no blank line: some clients (httpx-sse) would read an event into a block without data.
    """
    lines = [f": {line}" for line in _LINE_END.split(text)]
    if retry_ms is not None:
        lines.append(f"retry: {retry_ms}")
    return ("\n".join(lines) + "\n").encode()


_WHOLE = re.compile(rb"id: ([^\r\n\0]*)\ndata: ([^\r\n]*)\n\n\Z")


def read_whole(block: bytes) -> SSEEvent | None:
    """Parse one event of an id and one line of data, as `encode_event` writes it, between two events of a stream.

    None for anything else, which needs an `SSEParser`; this takes a sixth of its time.
    """
    match = _WHOLE.match(block)
    if match is None:
        return None
    id, data = match.groups()
    return SSEEvent("message", data.decode("utf-8", "replace"), id.decode("utf-8", "replace")) if data else None


class SSEParser:
    """Parses the bytes of one event stream into events, wherever the bytes are cut.

    `last_event_id` and `retry_ms` are what the stream has set so far. `idle` is true between events, when nothing is
    held back. The same bytes then always give the same events, so a reader can cache them.
    """

    __slots__ = ("_at_start", "_data", "_event", "_id", "_rest", "_skip_lf", "last_event_id", "retry_ms")

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._id = ""
        self._event = ""
        self._data: list[str] = []
        self._rest: list[bytes] = []  # the pieces of a line that has not ended
        self._skip_lf = False
        self._at_start = True

    @property
    def idle(self) -> bool:
        """True when no partial line, event, id or byte-order mark is held back."""
        id_held = self._id != self.last_event_id
        return not (self._rest or self._data or self._event or id_held or self._skip_lf or self._at_start)

    def feed(self, chunk: bytes) -> list[SSEEvent]:
        """Take the next bytes; return the events that they complete, in order."""
        if self._at_start:
            chunk = b"".join(self._rest) + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest = [chunk] if chunk else []
                return []
            chunk, self._rest = chunk.removeprefix(_BOM), []
            self._at_start = False
        if self._skip_lf and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._skip_lf = False
        if not chunk:
            return []
        lines, ended = chunk.splitlines(), chunk.endswith((b"\n", b"\r"))
        # A CR at the end of the chunk ended its line; an LF at the start of the next chunk belongs to it.
        self._skip_lf = chunk.endswith(b"\r")
        if len(lines) == 1 and not ended:  # joined at its end: a large event comes in many chunks
            self._rest.append(chunk)
            return []
        if self._rest:
            lines[0] = b"".join((*self._rest, lines[0]))
        self._rest = [] if ended else [lines.pop()]
        events: list[SSEEvent] = []
        for line in lines:
            if line:
                self._field(line)
            else:
                self._dispatch(events)
        return events

    def _field(self, line: bytes) -> None:
        name, _, value_bytes = line.partition(b":")
        value = value_bytes.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if "\0" not in value:
                self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit() and len(value) <= _RETRY_DIGITS:
            self.retry_ms = int(value)

    def _dispatch(self, events: list[SSEEvent]) -> None:
        self.last_event_id = self._id
        if self._data:
            events.append(SSEEvent(self._event or "message", "\n".join(self._data), self._id))
        self._data = []
        self._event = ""
