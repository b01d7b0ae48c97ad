"""Decodes the bytes of a read once for all clients: fan-out sends the same bytes to each of them.

The bytes of one read mean the same at every client whose stream is between two events, so the hot path is one look-up;
everything else is decoded with the client's own decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.sse import SSEEvent
from load.frames import UNKNOWN, Event, Item, Parsed, SeriesRegistry, Source
from load.transport import CHUNKED, WireFormat

MAX_CACHE_BYTES = 8 * 1024 * 1024


class Interpreter(Protocol):
    """Read SSE events for the clients on a connection to that source."""

    def items(self, sse: SSEEvent, source: Source = UNKNOWN) -> tuple[Item, ...]: ...


class Feed:
    """Caches decoded reads for all clients with the same framing; call `forget` before each `SeriesRegistry.harvest`.

    `source` is the connection's topic and server, which compact stamps omit. A client that is alone on its topic has a separate feed,
    which need not `remember`.
    """

    __slots__ = ("_bytes", "_cache", "_interpreter", "_pieces", "_remembers", "_source", "_wire_format", "get")

    def __init__(
        self, interpreter: Interpreter, wire_format: WireFormat, source: Source = UNKNOWN, *, remember: bool = True
    ) -> None:
        self._source = source
        self._remembers = remember
        self._interpreter = interpreter
        self._wire_format = wire_format
        self._cache: dict[bytes, Parsed] = {}
        self._pieces: dict[bytes, tuple[tuple[Item, ...], int | None]] = {}
        self._bytes = 0
        self.get: Callable[[bytes], Parsed | Event | None] = self._cache.get
        """For a stream between two events: the decoded read if its bytes were seen recently, or, without `remember`, if they are usual."""
        if not remember and isinstance(interpreter, SeriesRegistry) and wire_format is CHUNKED:
            self.get = interpreter.usual

    def forget(self) -> None:
        """Empty the cache; data that is still in flight is parsed again."""
        self._cache.clear()
        self._pieces.clear()
        self._bytes = 0

    def decoder(self) -> Decoder:
        """A decoder for the start of a stream, or for bytes that end within an event."""
        return Decoder(self._wire_format, self._interpreter, self._source)

    def parse(self, data: bytes) -> Parsed | None:
        """Decode bytes for a stream that is between two events; None if they end within one.

        Raises:
            Http1Error: the framing is broken.
        """
        piece = self._wire_format.sole_piece(data)
        if piece is not None:
            known = self._piece(piece)
            return None if known is None else self._known(data, Parsed(*known))
        framing = self._wire_format.framing()
        items: list[Item] = []
        retry_ms = None
        pieces = framing.feed(data)
        if framing.ended or not framing.between:
            return None
        for piece in pieces:
            known = self._piece(piece)
            if known is None:
                return None
            items += known[0]
            retry_ms = known[1] if known[1] is not None else retry_ms
        return self._known(data, Parsed(tuple(items), retry_ms, framing.reply))

    def _known(self, data: bytes, parsed: Parsed) -> Parsed:
        items = parsed.items
        if len(items) == 1 and isinstance(items[0], Event) and not parsed.reply:
            items[0].wire_bytes = len(data)
        if self._remembers:
            self._remember(data)
            self._cache[data] = parsed
        return parsed

    def _piece(self, piece: bytes) -> tuple[tuple[Item, ...], int | None] | None:
        """Return the items of one chunk or message. Reads with several pieces differ from client to client, the pieces do not."""
        known = self._pieces.get(piece)
        if known is None:
            event, retry_ms = self._wire_format.whole(piece), None
            if event is not None:
                items = self._interpreter.items(event, self._source)
            else:
                parser = self._wire_format.between()
                events = parser.feed(piece)
                if not parser.idle:
                    return None
                items, retry_ms = self._all(events), parser.retry_ms
            known = items, retry_ms
            if self._remembers:
                self._remember(piece)
                self._pieces[piece] = known
        return known

    def _all(self, events: list[SSEEvent]) -> tuple[Item, ...]:
        return tuple(item for one in events for item in self._interpreter.items(one, self._source))

    def _remember(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MAX_CACHE_BYTES:
            self.forget()
            self._bytes = len(data)


class Decoder:
    """A client's own decoder, used while its stream is in the middle of an event."""

    __slots__ = ("_framing", "_interpreter", "_parser", "_source")

    def __init__(self, wire_format: WireFormat, interpreter: Interpreter, source: Source) -> None:
        self._source = source
        self._framing = wire_format.framing()
        self._parser = wire_format.parser()
        self._interpreter = interpreter

    @property
    def between(self) -> bool:
        """Whether the shared feed can take over again."""
        return self._framing.between and self._parser.idle and not self._framing.ended

    @property
    def ended(self) -> bool:
        """Whether the server closed the stream cleanly."""
        return self._framing.ended

    def feed(self, data: bytes) -> Parsed:
        """Take the next bytes of the stream.

        Raises:
            Http1Error: the framing is broken.
        """
        events = (event for piece in self._framing.feed(data) for event in self._parser.feed(piece))
        items = tuple(item for event in events for item in self._interpreter.items(event, self._source))
        reply, self._framing.reply = self._framing.reply, b""
        return Parsed(items, self._parser.retry_ms, reply)
