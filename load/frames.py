"""From the bytes of a stream to events, once for all clients: fan-out sends the same bytes to each of them.

A `Feed` remembers what a read of some bytes meant. The bytes of one read mean the same at every client whose stream
is between two events, so the hot path is one look-up; everything else is decoded with the client's own decoder.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from core.sse import SSEEvent
from core.stamp import Phase, ReceivedEvent, ReceivedStamp, StampError, decode, parse_id, read_passed_on, read_received
from load.ledger import Series
from load.transport import Dialect

MAX_CACHE_BYTES = 8 * 1024 * 1024


class Event:
    """One event as one replica sent it; `arrived` notes an arrival at a bystander (wall clock, nanoseconds)."""

    __slots__ = (
        "arrivals", "arrived", "aside", "content", "due_ns", "id", "measured", "next_seq", "received_ns", "sent_ns", "seq", "series",
        "server", "wire_bytes",
    )  # fmt: skip

    def __init__(self, series: Series, seq: int, measured: bool, server: str, id: str) -> None:
        self.series = series
        self.seq = seq
        self.next_seq = seq + 1
        self.measured = measured
        self.server = server
        self.id = id
        self.due_ns = self.sent_ns = self.received_ns = 0
        self.content = ""
        """What it carries beside its stamp."""
        self.wire_bytes = 0
        """What it took on the connection, framing and all; 0 until a read had it alone."""
        self.arrivals = array("q")
        self.arrived = self.arrivals.append
        self.aside: array[int] | None = None
        """Arrivals at clients to whom a fault is done."""

    def arrive(self, now_ns: int, aside: bool) -> None:
        """Note an arrival, set aside or not."""
        if not aside:
            self.arrived(now_ns)
        elif self.aside is None:
            self.aside = array("q", (now_ns,))
        else:
            self.aside.append(now_ns)


class Source(NamedTuple):
    """What a compact stamp does not say, as it is the same for the whole connection."""

    server: str
    topic: str


UNKNOWN = Source("", "")


class GapFrame(NamedTuple):
    """An `event: gap` of a replica."""

    cause: str
    topic: str | None


class Foreign(NamedTuple):
    """An event that is not of ours, and why not."""

    reason: str


Item = Event | GapFrame | Foreign


class Parsed:
    """What the bytes of one read meant.

    When that is a single event and nothing is owed for it, `series`, `seq`, `next_seq` and `arrived` are the event's
    own, so that the hot path needs no further look; otherwise `series` is one that no client is in.
    """

    __slots__ = ("arrived", "items", "last", "next_seq", "reply", "retry_ms", "seq", "series")

    def __init__(self, items: tuple[Item, ...], retry_ms: int | None, reply: bytes = b"") -> None:
        self.items = items
        self.retry_ms = retry_ms
        self.reply = reply
        if len(items) == 1 and isinstance(event := items[0], Event) and not reply:
            self.last: Event | None = event
            self.series, self.seq, self.next_seq, self.arrived = event.series, event.seq, event.next_seq, event.arrived
        else:
            self.last = next((item for item in reversed(items) if isinstance(item, Event)), None)
            self.series, self.seq, self.next_seq, self.arrived = _NO_SERIES, -1, -1, _never


def _never(_arrival_ns: int) -> None:
    raise AssertionError("only single events have arrivals")


_NO_SERIES = Series("", "")


class SeriesRegistry:
    """The series and the events of this process: what the clients' ledgers and the histograms have in common."""

    def __init__(self, measure_from_ns: int = 0) -> None:
        self._measure_from_ns = measure_from_ns
        self.series: dict[tuple[str, str], Series] = {}
        self.fresh: list[Event] = []
        """Events made since the last `harvest`."""
        self._newest_due_ns = 0
        self._frozen = False
        self._last_seqs: Mapping[tuple[str, str], int] | None = None

    def item(self, sse: SSEEvent, source: Source = UNKNOWN) -> Item:
        """What one SSE event is to us, on a connection to that source."""
        try:
            if sse.event == "gap":
                fields = orjson.loads(sse.data)
                return GapFrame(str(fields["cause"]), fields.get("topic"))
            if sse.event != "message":
                return Foreign(f"event type {sse.event[:40]}")
            if (received := read_received(sse.data)) is not None:
                return self._readable(received, sse.id)
            if not sse.data.startswith("{") and (passed_on := read_passed_on(sse.data)) is not None:
                return self._compact(passed_on, sse.id, source)
            return self._event(sse.data.encode(), sse.id)
        except StampError as error:
            return Foreign(str(error))
        except (ValueError, LookupError, TypeError, AttributeError):
            return Foreign(f"malformed {sse.event}")

    def _event(self, data: bytes, id: str) -> Event:
        stamp = decode(data)
        fields = orjson.loads(data)
        server, received_ns = fields.get("server"), fields.get("received_ns")
        if not isinstance(server, str) or type(received_ns) is not int:
            raise StampError("server and received_ns are missing; is it a replica that sent this?")
        return self._readable(ReceivedEvent(stamp, server, received_ns, str(fields.get("pad", ""))), id)

    def _readable(self, received: ReceivedEvent, id: str) -> Event:
        stamp = received.stamp
        event = self._make((stamp.stream, stamp.topic), stamp.seq, stamp.phase, stamp.due_ns, received.server, id)
        event.sent_ns, event.received_ns, event.content = stamp.sent_ns, received.received_ns, received.pad
        return event

    def _compact(self, stamp: ReceivedStamp, id: str, source: Source) -> Event:
        place = parse_id(id)
        if place is None:
            raise StampError("a compact stamp without an id of ours")
        if source is UNKNOWN:
            raise StampError("a compact stamp; start the load with --stamp compact")
        stream, seq = place
        event = self._make((stream, source.topic), seq, stamp.phase, stamp.due_ns, source.server, id)
        event.sent_ns, event.received_ns, event.content = stamp.sent_ns, stamp.received_ns, stamp.payload
        return event

    def _make(self, key: tuple[str, str], seq: int, phase: Phase, due_ns: int, server: str, id: str) -> Event:
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series(*key)
        measured = phase == "measure" and due_ns >= self._measure_from_ns
        measured = measured and (self._last_seqs is None or seq <= self._last_seqs.get(key, -1))
        self._newest_due_ns = max(self._newest_due_ns, due_ns)
        event = Event(series, seq, measured, server, id)
        event.due_ns = due_ns
        if measured and not self._frozen:
            series.note(seq)
        self.fresh.append(event)
        return event

    def measure_from(self, at_ns: int) -> int:
        """Forget what was seen; what is due from that instant on is measured. Harvest what came before that first.

        Returns the instant from which on that is whole: a later one if an event that is due after `at_ns` has come
        already, as that is forgotten, too.
        """
        self._measure_from_ns = max(at_ns, self._newest_due_ns + 1)
        for series in self.series.values():
            series.restart()
        return self._measure_from_ns

    def freeze(self) -> None:
        """Hold what comes from now on until `measure_until` says whether it counts. Harvest what came before that first."""
        self._frozen = True

    def measure_until(self, last_seqs: Mapping[tuple[str, str], int]) -> None:
        """Each series, by stream and topic, is measured up to that seq, and no other series is."""
        self._last_seqs, self._frozen = last_seqs, False
        for event in self.fresh:
            series = event.series
            event.measured = event.measured and event.seq <= last_seqs.get((series.stream, series.topic), -1)
            if event.measured:
                series.note(event.seq)

    def harvest(self) -> list[Event]:
        """The events made since the last call, and not held. Caches must be emptied first: no arrival is noted on them after."""
        if self._frozen:
            return []
        fresh, self.fresh = self.fresh, []
        return fresh


class Feed:
    """Remembers what reads meant, for all clients of one dialect; `forget` before each `SeriesRegistry.harvest`.

    `source` is where they are, which compact stamps do not say. A client that shares its topic with nobody has a feed of its own,
    which need not `remember`.
    """

    __slots__ = ("_bytes", "_cache", "_dialect", "_pieces", "_registry", "_remembers", "_source", "get")

    def __init__(
        self, registry: SeriesRegistry, dialect: Dialect, source: Source = UNKNOWN, *, remember: bool = True
    ) -> None:
        self._source = source
        self._remembers = remember
        self._registry = registry
        self._dialect = dialect
        self._cache: dict[bytes, Parsed] = {}
        self._pieces: dict[bytes, tuple[tuple[Item, ...], int | None]] = {}
        self._bytes = 0
        self.get = self._cache.get
        """What the bytes of a whole read meant, if they were seen lately."""

    def forget(self) -> None:
        """Empty the cache; what is still under way is parsed again."""
        self._cache.clear()
        self._pieces.clear()
        self._bytes = 0

    def decoder(self) -> Decoder:
        """A decoder for the start of a stream, or for bytes that end within an event."""
        return Decoder(self._dialect, self._registry, self._source)

    def parse(self, data: bytes) -> Parsed | None:
        """What the bytes mean to a stream that is between two events; None if they end within one.

        Raises:
            Http1Error: the framing is broken.
        """
        piece = self._dialect.sole_piece(data)
        if piece is not None:
            known = self._piece(piece)
            return None if known is None else self._known(data, Parsed(*known))
        framing = self._dialect.framing()
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
        """The items of one chunk or message. Reads that hold several differ from client to client, the pieces do not."""
        known = self._pieces.get(piece)
        if known is None:
            event, retry_ms = self._dialect.whole(piece), None
            if event is not None:
                items: tuple[Item, ...] = (self._registry.item(event, self._source),)
            else:
                parser = self._dialect.between()
                events = parser.feed(piece)
                if not parser.idle:
                    return None
                items, retry_ms = tuple(self._registry.item(one, self._source) for one in events), parser.retry_ms
            known = items, retry_ms
            if self._remembers:
                self._remember(piece)
                self._pieces[piece] = known
        return known

    def _remember(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MAX_CACHE_BYTES:
            self.forget()
            self._bytes = len(data)


class Decoder:
    """One client's own decoder, used while its stream is not between two events."""

    __slots__ = ("_framing", "_parser", "_registry", "_source")

    def __init__(self, dialect: Dialect, registry: SeriesRegistry, source: Source) -> None:
        self._source = source
        self._framing = dialect.framing()
        self._parser = dialect.parser()
        self._registry = registry

    @property
    def between(self) -> bool:
        """Whether the shared feed can take over again."""
        return self._framing.between and self._parser.idle and not self._framing.ended

    @property
    def ended(self) -> bool:
        """Whether the server closed the stream in good order."""
        return self._framing.ended

    def feed(self, data: bytes) -> Parsed:
        """Take the next bytes of the stream.

        Raises:
            Http1Error: the framing is broken.
        """
        events: Iterable[SSEEvent] = (event for piece in self._framing.feed(data) for event in self._parser.feed(piece))
        items = tuple(self._registry.item(event, self._source) for event in events)
        reply, self._framing.reply = self._framing.reply, b""
        return Parsed(items, self._parser.retry_ms, reply)
