"""Converts a service's events for the ledger and the recorder, by a dialect."""

from __future__ import annotations

from time import time_ns

from core.endpoint.dialect import Dialect
from core.endpoint.reading import DialectMismatchError, EventReader, Reading
from core.sse import SSEEvent
from load.frames import UNKNOWN, Event, Foreign, Item, SeriesRegistry, Source, StreamEnd, Times
from load.id_numbers import IdNumbers


class DialectEvents:
    """What events mean to the clients of one endpoint."""

    def __init__(self, registry: SeriesRegistry, dialect: Dialect) -> None:
        self._registry = registry
        self._reader = EventReader(dialect)
        self._numbers = IdNumbers()
        self.set_aside: set[str] = set()
        """Why events were not deliveries, according to the dialect."""

    def items(self, sse: SSEEvent, source: Source = UNKNOWN) -> tuple[Item, ...]:
        """Read one SSE event on a connection to that source."""
        if self._reader.ends(sse):
            return (StreamEnd(),)
        try:
            readings = self._reader.read(sse, source.topic)
        except DialectMismatchError as error:
            return (Foreign(str(error)),)
        if not readings:
            self.set_aside.add(self._reader.why_set_aside(sse))
        return tuple([self._event(reading, sse.id, source) for reading in readings])

    @property
    def forgotten_ids(self) -> int:
        """How many ids without numbers it has forgotten."""
        return self._numbers.forgotten

    def _event(self, reading: Reading, id: str, source: Source) -> Event:
        topic = reading.topic or source.topic
        stream = f"{reading.stream}#{source.connection}" if source.connection else reading.stream
        if reading.stamp is not None:
            stamp = reading.stamp
            event = self._registry.make((stream, topic), stamp.seq, stamp.phase, stamp.due_ns, reading.server, id)
            event.sent_ns = stamp.sent_ns
            event.received_ns = reading.received_ns or 0
            event.times = Times.DUE if reading.received_ns is None else Times.ALL
            return event
        now_ns = time_ns()
        if reading.seq is not None:
            event = self._registry.make((stream, topic), reading.seq, "measure", now_ns, "", id)
        elif reading.key:
            seq = self._numbers.number(f"{topic}#{source.connection}", reading.key)
            event = self._registry.make((stream, topic), seq, "measure", now_ns, "", id)
        else:
            event = self._registry.unidentified(now_ns, id)
        event.sent_ns = reading.sent_ns or 0
        event.times = Times.NONE if reading.sent_ns is None else Times.SENT
        return event
