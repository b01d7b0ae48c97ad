"""What master and workers tell one another, over Locust's own connection; docs/decisions/0008-locust-workers.md has why.

Each message is a `Document` with a version. `test` is the test that it is about, by the instant at which that began:
what comes late from an earlier test is left alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

from core.contracts.codec import Document
from core.contracts.load_orders import LoadOrder
from core.contracts.load_result import Cause
from core.contracts.load_status import LoadStatus
from core.histogram import Histogram
from load.second_counts import SecondCounts
from load.worker_result import (
    Horizon,
    Seen,
    SeqBounds,
    SeriesKey,
    ServerTopic,
    SpanName,
    Tally,
    WorkerResult,
)


class Join(Document):
    """Worker to master, before anything else: for which run it was started."""

    version: Literal[1] = 1
    run: str


class Refused(Document):
    """Master to a worker that it does not take."""

    version: Literal[1] = 1
    reason: str


class Begin(Document):
    """Master to worker: a test begins."""

    version: Literal[1] = 1
    test: int
    replicas: tuple[str, ...]
    """Base URLs."""
    topic: str
    topic_skew: float
    token: str
    clients: int
    """How many this worker is to hold, as far as is known now."""
    measure_from_ns: int

    def changed(self, clients: int | None = None, measure_from_ns: int | None = None) -> Begin:
        """The same test for so many clients, or measured from another instant."""
        return Begin(
            test=self.test,
            replicas=self.replicas,
            topic=self.topic,
            topic_skew=self.topic_skew,
            token=self.token,
            clients=self.clients if clients is None else clients,
            measure_from_ns=self.measure_from_ns if measure_from_ns is None else measure_from_ns,
        )


class Began(Document):
    """Worker to master: it is ready for its users; or what keeps it from beginning, if `problem` is not empty."""

    version: Literal[1] = 1
    test: int
    problem: str = ""


class SeatsWanted(Document):
    """Worker to master: so many users have no seat."""

    version: Literal[1] = 1
    test: int
    count: int


class SeatsGiven(Document):
    """Master to worker."""

    version: Literal[1] = 1
    test: int
    numbers: tuple[int, ...]


class SeatsReturned(Document):
    """Worker to master: users have left these seats."""

    version: Literal[1] = 1
    test: int
    numbers: tuple[int, ...]


class ClientOrder(Document):
    """Master to worker: an order of `--control`, and how many clients the run has."""

    version: Literal[1] = 1
    test: int
    order: LoadOrder
    clients: int


class MeasureFrom(Document):
    """Master to worker: forget what was measured, and measure what is due from an instant on."""

    version: Literal[1] = 1
    test: int
    at_ns: int


class Measuring(Document):
    """Worker to master, the answer to `MeasureFrom`: it has forgotten what it measured."""

    version: Literal[1] = 1
    test: int
    asked_ns: int
    from_ns: int
    """What is due from then on counts here; later than was asked for if an event that was due between came already."""


class WorkerStatus(Document):
    """Worker to master, five times a second."""

    version: Literal[1] = 1
    test: int
    status: LoadStatus


class SeriesBounds(NamedTuple):
    """The measured seqs of one series."""

    stream: str
    topic: str
    low_seq: int
    high_seq: int


def bounds_of(horizon: Horizon) -> tuple[SeriesBounds, ...]:
    """The horizon as a message holds it."""
    return tuple(SeriesBounds(*key, *bounds) for key, bounds in horizon.items())


def horizon_from(bounds: tuple[SeriesBounds, ...]) -> Horizon:
    """The horizon that a message holds."""
    return {SeriesKey(one.stream, one.topic): SeqBounds(one.low_seq, one.high_seq) for one in bounds}


class Freeze(Document):
    """Master to worker: the test ends; say what your clients saw."""

    version: Literal[1] = 1
    test: int


class Saw(Document):
    """Worker to master."""

    version: Literal[1] = 1
    test: int
    bounds: tuple[SeriesBounds, ...]


class Drain(Document):
    """Master to worker: what all clients of the run saw; wait that long for what yours lack, then send your totals."""

    version: Literal[1] = 1
    test: int
    bounds: tuple[SeriesBounds, ...]
    drain_s: float


class Leaving(Document):
    """Worker to master: it was told to end, and may not be needed any more."""

    version: Literal[1] = 1
    test: int


class HandOver(Document):
    """Master to a worker that is leaving: the test goes on without it; send your totals now."""

    version: Literal[1] = 1
    test: int


class EncodedHistogram(NamedTuple):
    """HDR V2, base64, and what that leaves out."""

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
    """What was seen of a series."""

    stream: str
    topic: str
    seen: Seen


class Totals(Document):
    """Worker to master, once for each test: all that it measured."""

    version: Literal[1] = 1
    test: int
    measure_from_ns: int
    """Of what was due from then on."""
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

    @classmethod
    def of(cls, test: int, measure_from_ns: int, result: WorkerResult) -> Totals:
        """What a process measured, as it travels."""
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
        )

    def result(self) -> WorkerResult:
        """What the process measured."""
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
        )
        for one in self.seen:
            result.seen.setdefault(SeriesKey(one.stream, one.topic), []).append(one.seen)
        return result
