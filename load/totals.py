"""A worker's totals as it sends them to the master, once for each test."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

from core.contracts.codec import Document
from core.contracts.load_result import Cause
from core.histogram import Histogram
from load.clock_bound import ClockBound
from load.clock_tally import ClockTally
from load.frames import Times
from load.second_counts import SecondCounts
from load.visit_tally import VisitTally
from load.worker_result import Seen, SeriesKey, ServerTopic, SpanName, Tally, WorkerResult


class EncodedHistogram(NamedTuple):
    """HDR V2 in base64, and the values that it leaves out."""

    text: str
    negative: int
    over: int

    @classmethod
    def of(cls, histogram: Histogram) -> EncodedHistogram:
        return cls(histogram.encode(), histogram.negative, histogram.over)

    def histogram(self) -> Histogram:
        """The histogram."""
        decoded = Histogram.decode(self.text)
        decoded.negative, decoded.over = self.negative, self.over
        return decoded


class ClientsAt(NamedTuple):
    """How many clients a topic has at a server."""

    server: str
    topic: str
    clients: int


class SeenSeries(NamedTuple):
    """The observed range of a series."""

    stream: str
    topic: str
    seen: Seen


class Totals(Document):
    """Worker to master, once for each test: everything that it measured."""

    version: Literal[1] = 1
    test: int
    measure_from_ns: int
    """Events that were due from this instant on count."""
    tally: Tally
    causes: dict[Cause, int]
    foreign: dict[str, int]
    disconnects: dict[str, int]
    refused: dict[str, int]
    clients: tuple[ClientsAt, ...]
    seen: tuple[SeenSeries, ...]
    spans: dict[SpanName, EncodedHistogram]
    servers: dict[str, EncodedHistogram]
    seconds: str
    first_due_ns: int | None
    last_arrival_ns: int
    visits: VisitTally | None = None
    clocks: ClockTally
    told: dict[Times, int]
    set_aside: tuple[str, ...]
    endpoint: bool
    clock: ClockBound

    @classmethod
    def of(cls, test: int, measure_from_ns: int, result: WorkerResult) -> Totals:
        """A process's measurement, as a message."""
        return cls(
            test=test,
            measure_from_ns=measure_from_ns,
            tally=result.tally,
            causes=dict(result.causes),
            foreign=dict(result.foreign),
            disconnects=dict(result.disconnects),
            refused=dict(result.refused),
            clients=tuple(ClientsAt(*key, count) for key, count in result.clients.items()),
            seen=tuple(SeenSeries(*key, seen) for key, many in result.seen.items() for seen in many),
            spans={name: EncodedHistogram.of(one) for name, one in result.spans.items()},
            servers={name: EncodedHistogram.of(one) for name, one in result.servers.items()},
            seconds=result.seconds.encode(),
            first_due_ns=result.first_due_ns,
            last_arrival_ns=result.last_arrival_ns,
            visits=result.visits,
            clocks=result.clocks,
            told=dict(result.told),
            set_aside=tuple(sorted(result.set_aside)),
            endpoint=result.endpoint,
            clock=result.clock,
        )

    def result(self) -> WorkerResult:
        """The process's measurement."""
        result = WorkerResult(
            tally=self.tally,
            causes=Counter(self.causes),
            foreign=Counter(self.foreign),
            disconnects=Counter(self.disconnects),
            refused=Counter(self.refused),
            clients=Counter({ServerTopic(one.server, one.topic): one.clients for one in self.clients}),
            spans={name: one.histogram() for name, one in self.spans.items()},
            servers={name: one.histogram() for name, one in self.servers.items()},
            seconds=SecondCounts.decode(self.seconds),
            first_due_ns=self.first_due_ns,
            last_arrival_ns=self.last_arrival_ns,
            visits=self.visits,
            clocks=self.clocks,
            told=Counter(self.told),
            set_aside=set(self.set_aside),
            endpoint=self.endpoint,
            clock=self.clock,
        )
        for one in self.seen:
            result.seen.setdefault(SeriesKey(one.stream, one.topic), []).append(one.seen)
        return result
