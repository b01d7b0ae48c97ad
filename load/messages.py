"""The messages between master and workers over Locust's connection; docs/decisions/0008-locust-workers.md explains them; load/totals.py has the last one.

Each message is a `Document` with a version. `test` names its test by the instant of its start,
so late messages from an earlier test are ignored.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from core.contracts.codec import Document
from core.contracts.load_orders import LoadOrder
from core.contracts.load_status import LoadStatus, WorkerUsage
from core.contracts.session_rules import SessionRules
from core.endpoint.request import StreamEndpoint
from load.worker_result import Horizon, SeqBounds, SeriesKey


class Join(Document):
    """Worker to master, before anything else: the run for which it was started, and how its clients connect."""

    version: Literal[1] = 1
    run: str
    transport: str
    network: str
    """Equal for workers whose connections use the same ports."""


class Refused(Document):
    """Master to a worker that it rejects."""

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
    """The clients of this worker, as far as known."""
    beside: int = 0
    """The clients of other workers whose connections use the same ports."""
    measure_from_ns: int
    users: int = 0
    """The clients of the whole run."""
    compact: bool = False
    """Whether stamps are compact."""
    sessions: SessionRules | None = None
    """The sessions that the users visit."""
    endpoint: StreamEndpoint | None = None
    """What the clients listen to, if it is not one of our replicas."""
    connect_timeout_s: float

    def changed(self, clients: int | None = None, measure_from_ns: int | None = None, beside: int = 0) -> Begin:
        """Return the same test with that many clients, here and beside, or measured from another instant."""
        return self.model_copy(
            update={
                "clients": self.clients if clients is None else clients,
                "beside": beside,
                "measure_from_ns": self.measure_from_ns if measure_from_ns is None else measure_from_ns,
            }
        )


class Began(Document):
    """Worker to master: it is ready for its users; or why it cannot begin, if `problem` is not empty."""

    version: Literal[1] = 1
    test: int
    problem: str = ""


class SeatsWanted(Document):
    """Worker to master: this many users have no seat."""

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
    """Master to worker: an order of `--control`, how many clients the run has, and the mark of the clock by which it was given."""

    version: Literal[1] = 1
    test: int
    order: LoadOrder
    clients: int
    clock: str


class MeasureFrom(Document):
    """Master to worker: discard earlier measurements, and measure what is due from an instant on."""

    version: Literal[1] = 1
    test: int
    at_ns: int


class Measuring(Document):
    """Worker to master, the answer to `MeasureFrom`: it has discarded earlier measurements."""

    version: Literal[1] = 1
    test: int
    asked_ns: int
    from_ns: int
    """Events due from then on count here; later than requested if an event that was due in between has already arrived."""


class WorkerStatus(Document):
    """Worker to master, five times a second."""

    version: Literal[1] = 1
    test: int
    status: LoadStatus
    usage: WorkerUsage


class SeriesBounds(NamedTuple):
    """The measured seqs of one series."""

    stream: str
    topic: str
    low_seq: int
    high_seq: int


def bounds_of(horizon: Horizon) -> tuple[SeriesBounds, ...]:
    """Encode the horizon for a message."""
    return tuple(SeriesBounds(*key, *bounds) for key, bounds in horizon.items())


def horizon_from(bounds: tuple[SeriesBounds, ...]) -> Horizon:
    """Decode the horizon in a message."""
    return {SeriesKey(one.stream, one.topic): SeqBounds(one.low_seq, one.high_seq) for one in bounds}


class Freeze(Document):
    """Master to worker: the test ends; report what your clients saw."""

    version: Literal[1] = 1
    test: int


class Saw(Document):
    """Worker to master."""

    version: Literal[1] = 1
    test: int
    bounds: tuple[SeriesBounds, ...]


class Drain(Document):
    """Master to worker: what all clients of the run saw; wait that long for missing events, then send your totals."""

    version: Literal[1] = 1
    test: int
    bounds: tuple[SeriesBounds, ...]
    drain_s: float


class Leaving(Document):
    """Worker to master: it was asked to end, and may no longer be needed."""

    version: Literal[1] = 1
    test: int


class HandOver(Document):
    """Master to a worker that is leaving: the test continues without it; send your totals now."""

    version: Literal[1] = 1
    test: int
