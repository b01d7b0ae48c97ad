"""The items of a stream (events, gaps, foreign events) and the registry that all clients share."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import orjson

from core.sse import SSEEvent
from core.stamp import (
    Phase,
    ReceivedEvent,
    ReceivedStamp,
    StampError,
    decode,
    is_instant,
    parse_id,
    read_passed_on,
    read_received,
)
from load.ledger import Series
from load.usual_read import Fields, usual_chunks


class Times(Enum):
    """Which instants an event has."""

    ALL = "all"
    """Due, sent, and received at a replica."""
    DUE = "due"
    """Due and sent."""
    SENT = "sent"
    NONE = "none"


class Event:
    """One event as one replica sent it; `arrived` notes an arrival at a bystander (wall clock, nanoseconds).

    It also stands for a read that contains nothing else, like `Parsed`.
    """

    __slots__ = (
        "ahead", "arrivals", "arrived", "aside", "content", "due_ns", "id", "measured", "next_seq", "received_ns", "sent_ns", "seq", "series",
        "server", "sse", "times", "wire_bytes",
    )  # fmt: skip
    ends = False
    retry_ms: int | None = None
    reply = b""

    def __init__(self, series: Series, seq: int, measured: bool, server: str, id: str) -> None:
        self.series = series
        self.seq = seq
        self.next_seq = seq + 1
        self.measured = measured
        self.server = server
        self.id = id
        self.due_ns = self.sent_ns = self.received_ns = 0
        self.times = Times.ALL
        """Without a due instant in the event, `due_ns` is when this process first received it."""
        self.content = ""
        """Its payload without the stamp."""
        self.ahead: ClocksAhead | None = None
        """If its instants were changed: what they were corrected by, which is all that may be taken from them."""
        self.wire_bytes = 0
        """Its bytes on the connection, including framing; 0 until a read contained only it."""
        self.sse: SSEEvent | None = None
        """The event itself, if a locustfile's own code needs it (load/user_stream.py)."""
        self.arrivals = array("q")
        self.arrived = self.arrivals.append
        self.aside: array[int] | None = None
        """Arrivals at clients that a fault affects."""

    @property
    def items(self) -> tuple[Event]:
        """The items of such a read."""
        return (self,)

    @property
    def last(self) -> Event:
        """The last event of such a read."""
        return self

    def arrive(self, now_ns: int, aside: bool) -> None:
        """Record an arrival, set aside or not."""
        if not aside:
            self.arrived(now_ns)
        elif self.aside is None:
            self.aside = array("q", (now_ns,))
        else:
            self.aside.append(now_ns)


class ClocksAhead(NamedTuple):
    """How far the clocks of an event's instants are ahead of this process's, in nanoseconds."""

    generator_ns: int
    server_ns: int


class Source(NamedTuple):
    """What an event may omit because it is the same for the whole connection."""

    server: str
    topic: str
    connection: str = ""
    """The name of this connection, if it has its own numbers."""


UNKNOWN = Source("", "")


class GapFrame(NamedTuple):
    """An `event: gap` of a replica."""

    cause: str
    topic: str | None


class Foreign(NamedTuple):
    """A foreign event, and the reason."""

    reason: str


class StreamEnd(NamedTuple):
    """The event that properly ends an answer."""


Item = Event | GapFrame | Foreign | StreamEnd


class Parsed:
    """The decoded bytes of one read.

    If that is a single event without notes, `series`, `seq`, `next_seq` and `arrived` are the event's own, so the hot
    path needs no further look-up; otherwise `series` is one that no client is in.
    """

    __slots__ = ("arrived", "ends", "items", "last", "next_seq", "reply", "retry_ms", "seq", "series")

    def __init__(self, items: tuple[Item, ...], retry_ms: int | None, reply: bytes = b"") -> None:
        self.items = items
        self.ends = False
        """Whether the answer ends with it."""
        self.retry_ms = retry_ms
        self.reply = reply
        if len(items) == 1 and isinstance(event := items[0], Event) and not reply:
            self.last: Event | None = event
            self.series, self.seq, self.next_seq, self.arrived = event.series, event.seq, event.next_seq, event.arrived
        else:
            self.last = next((item for item in reversed(items) if isinstance(item, Event)), None)
            self.ends = any(isinstance(item, StreamEnd) for item in items)
            self.series, self.seq, self.next_seq, self.arrived = _NO_SERIES, -1, -1, _never


def _never(_arrival_ns: int) -> None:
    raise AssertionError("only single events have arrivals")


_NO_SERIES = Series("", "")
_UNIDENTIFIED = Series("", "")


class SeriesRegistry:
    """The series and the events of this process, shared by the clients' ledgers and the histograms."""

    def __init__(self, measure_from_ns: int = 0) -> None:
        self._measure_from_ns = measure_from_ns
        self.series: dict[tuple[str, str], Series] = {}
        self.fresh: list[Event] = []
        """Events created since the last `harvest`."""
        self._newest_due_ns = 0
        self._frozen = False
        self._last_seqs: Mapping[tuple[str, str], int] | None = None

    def usual(self, data: bytes) -> Event | Parsed | None:
        """Read bytes that are chunks with one readable event each; None for anything else, which may still be events."""
        chunks = usual_chunks(data)
        if not chunks:
            return None
        if len(chunks) > 1:
            return Parsed(tuple(self._usual_event(fields) for fields in chunks), None)
        event = self._usual_event(chunks[0])
        event.wire_bytes = len(data)
        return event

    def _usual_event(self, fields: Fields) -> Event:
        _, id, server, received_ns, stream, seq, topic, phase, due_ns, sent_ns, pad = fields
        key = stream.decode(), topic.decode()
        event = self.make(
            key, int(seq), "warmup" if phase == b"warmup" else "measure", int(due_ns), server.decode(), id.decode()
        )
        event.sent_ns, event.received_ns, event.content = int(sent_ns), int(received_ns), pad.decode()
        return event

    def items(self, sse: SSEEvent, source: Source = UNKNOWN) -> tuple[Item, ...]:
        """Read one SSE event on a connection to that source."""
        return (self.item(sse, source),)

    def item(self, sse: SSEEvent, source: Source = UNKNOWN) -> Item:
        """Classify one SSE event on a connection to that source."""
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
        if not isinstance(server, str) or not is_instant(received_ns):
            raise StampError("server and received_ns are missing or wrong; check that a replica sent this")
        return self._readable(ReceivedEvent(stamp, server, received_ns, str(fields.get("pad", ""))), id)

    def _readable(self, received: ReceivedEvent, id: str) -> Event:
        stamp = received.stamp
        event = self.make((stamp.stream, stamp.topic), stamp.seq, stamp.phase, stamp.due_ns, received.server, id)
        event.sent_ns, event.received_ns, event.content = stamp.sent_ns, received.received_ns, received.pad
        return event

    def _compact(self, stamp: ReceivedStamp, id: str, source: Source) -> Event:
        place = parse_id(id)
        if place is None:
            raise StampError("a compact stamp without a fanbench id")
        if source is UNKNOWN:
            raise StampError("a compact stamp; start the load with --stamp compact")
        stream, seq = place
        event = self.make((stream, source.topic), seq, stamp.phase, stamp.due_ns, source.server, id)
        event.sent_ns, event.received_ns, event.content = stamp.sent_ns, stamp.received_ns, stamp.payload
        return event

    def unidentified(self, first_ns: int, id: str) -> Event:
        """An event without identity: it is counted, but is in no ledger."""
        measured = first_ns >= self._measure_from_ns and not self._frozen and self._last_seqs is None
        event = Event(_UNIDENTIFIED, -1, measured, "", id)
        event.next_seq = -1  # each is like the one before it
        event.due_ns = first_ns
        self.fresh.append(event)
        return event

    def make(self, key: tuple[str, str], seq: int, phase: Phase, due_ns: int, server: str, id: str) -> Event:
        """An event with a number that is due at that instant, or first arrived then."""
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series(*key)
        measured = phase == "measure" and due_ns >= self._measure_from_ns
        measured = measured and (self._last_seqs is None or seq <= self._last_seqs.get(key, -1))
        if due_ns > self._newest_due_ns:
            self._newest_due_ns = due_ns
        event = Event(series, seq, measured, server, id)
        event.due_ns = due_ns
        if measured and not self._frozen:
            series.note(seq)
        self.fresh.append(event)
        return event

    def measure_from(self, at_ns: int) -> int:
        """Forget what was seen, and measure events that are due from that instant. Harvest earlier events first.

        Returns the instant from which the measurement is complete: later than `at_ns` if an event that is due after it has already arrived,
        because that event is forgotten too.
        """
        self._measure_from_ns = max(at_ns, self._newest_due_ns + 1)
        for series in self.series.values():
            series.restart()
        return self._measure_from_ns

    def freeze(self) -> None:
        """Hold all later events until `measure_until` decides whether they count. Harvest earlier events first."""
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
        """Return the events created since the last call, without the held ones.

        Empty the caches first: later arrivals are not noted on them.
        """
        if self._frozen:
            return []
        fresh, self.fresh = self.fresh, []
        return fresh
