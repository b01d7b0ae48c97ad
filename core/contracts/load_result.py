"""The load's result, which `--out` writes; docs/load.md explains the fields."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeVar

from pydantic import SerializerFunctionWrapHandler, model_serializer

from core.contracts.clock import ClockComparison
from core.contracts.codec import Document, DocumentError
from core.contracts.measures import Percentiles, Span

WITHOUT_TOTALS = "ended without its totals"
"""Words of each problem that names a lost worker."""


class Cause(Enum):
    """The cause of a missing delivery, as far as the client can tell."""

    CONNECTION = "connection_down"
    """The client was not connected, and resuming did not recover it."""
    GAP = "gap_reported"
    """The replica reported it with an `event: gap`."""
    UNEXPLAINED = "unexplained"
    """It is missing in the middle of a connected stream, and nobody reported it: the worst kind."""
    TAIL = "under_way"
    """It is missing at the end of a connected stream; others got it, so it may have been in flight."""


class SparseDocument(Document):
    """A document that is written without its fields that are None."""

    @model_serializer(mode="wrap")
    def _with_what_there_is(self, fields: SerializerFunctionWrapHandler) -> dict[str, object]:
        written: dict[str, object] = fields(self)
        return {name: value for name, value in written.items() if value is not None}


class HopPercentiles(SparseDocument):
    """Latencies by hop, in milliseconds; only our own replicas report where the broker hop ends."""

    schedule: Percentiles
    broker: Percentiles | None = None
    fanout: Percentiles | None = None


class EncodedHistograms(SparseDocument):
    """HDR V2 histograms in base64, in microseconds: for the whole path, and for each known hop."""

    latency: str
    schedule: str | None = None
    broker: str | None = None
    fanout: str | None = None

    def by_span(self) -> dict[Span, str]:
        """The histograms by name."""
        found: dict[Span, str | None] = {
            "latency": self.latency,
            "schedule": self.schedule,
            "broker": self.broker,
            "fanout": self.fanout,
        }
        return {span: text for span, text in found.items() if text is not None}


class ServedClients(Document):
    """The clients of one replica at the end, and what it delivered to them."""

    clients: int
    deliveries: int
    latency_ms: Percentiles
    topics: dict[str, int]
    """Clients by topic."""


class MeasuredSecond(Document):
    """One second of due time; `t_s` counts from the first second in which an event was due."""

    t_s: int
    deliveries: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class RecoveryTimes(Document):
    """The clients' recovery since the last mark."""

    clients: int
    never: int
    """Clients that got no event that was due after the mark."""
    first_event_ms: Percentiles
    longest_silence_ms: Percentiles


class Bystanders(Document):
    """The clients that were not stalled, not churned and, if a share was cut, not cut."""

    clients: int
    deliveries: int
    latency_ms: Percentiles
    before_ms: Percentiles
    """Latency of all clients before the mark."""


class VisitResult(Document):
    """Figures over the clients' visits to sessions; docs/scenarios.md explains them."""

    due: int
    """Planned visits."""
    opened: int
    """Of these, the connected ones."""
    complete: int
    """Of these, the visits that got every event up to their last, exactly once, with the right bytes."""
    wrong: int
    """Events whose bytes differ from those that were sent."""
    late: int
    """Visits that opened in the middle of their session."""
    moved: int
    """Visits that continued at another replica."""
    expected: int
    """Measured events that the visits expect."""
    first_event_ms: Percentiles
    """From the start of a visit, or from the due instant of its session's first event, to its first event."""
    gap_sent_ms: Percentiles
    """The time between consecutive events when they were sent."""
    gap_seen_ms: Percentiles
    """The time between the same two events at their arrival."""


Knowledge = Literal["stamp", "identity", "time"]
"""`stamp`: everything, by our stamp. `identity`: events can be told apart, so there is a ledger. `time`: the sending time."""


class ClockRange(Document):
    """Server's clock minus ours, bounded by the `Date` headers of its answers. If low exceeds high, several clocks answered."""

    low_ms: float
    high_ms: float


class StreamFigures(SparseDocument):
    """Figures of an endpoint's streams that need no knowledge of its events, in milliseconds. Absent if it never happened."""

    knows: tuple[Knowledge, ...]
    """What every delivery contains; the other figures follow from it."""
    opened: int
    """Answers that started a stream."""
    whole: int
    """Of these, the ones that ended properly, as an answer to a POST does."""
    redirects: int
    body_bytes: int
    """Received bytes of the bodies, including framing and compression."""
    stamped: int
    """Deliveries with our stamp; `timed` counts those with another time, `unidentified` those without identity."""
    timed: int
    unidentified: int
    events_per_s: float | None = None
    """Deliveries per second over all clients."""
    first_event_ms: Percentiles | None = None
    """The time from the first SYN to the first event of a stream."""
    gap_ms: Percentiles | None = None
    """The time between an event and the one before it, on one connection."""
    silence_ms: Percentiles | None = None
    """Each client's longest time without an event while connected."""
    answer_ms: Percentiles | None = None
    """The time from the first SYN to the end of a complete answer."""
    clock_offset_ms: ClockRange | None = None


class LoadResult(Document):
    """One measurement.

    `recovery` and `bystanders` exist only after a fault, `visits` only with sessions, `streams` only for an endpoint.
    Figures that an endpoint's events do not carry are absent.
    """

    version: Literal[1] = 1
    asked: int
    """The last number of clients that was requested."""
    clients: int
    left: int
    users: int
    connected: int
    unreached: int
    deliveries: int
    received: int | None = None
    events: int | None = None
    lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    replayed: int | None = None
    reconnects: int
    gaps: int
    negative: int | None = None
    negatives: dict[Span, int] | None = None
    foreign: int
    duration_s: float
    latency_ms: Percentiles | None = None
    since_sent_ms: Percentiles | None = None
    """Latency without the schedule hop: as if the generator had never been late."""
    hops_ms: HopPercentiles | None = None
    event_bytes: float | None
    connect_ms: Percentiles | None = None
    """None if no client was connected while it was measured."""
    turn_ms: Percentiles | None = None
    """How long these attempts, and the failed ones, waited for their turn; None if there was none."""
    downtime_ms: Percentiles
    servers: dict[str, ServedClients]
    topics: dict[str, int]
    causes: dict[Cause, int] | None = None
    foreign_kinds: dict[str, int]
    disconnects: dict[str, int]
    refused: dict[str, int]
    timeline: tuple[MeasuredSecond, ...]
    histograms: EncodedHistograms | None = None
    problems: tuple[str, ...]
    """Why the measurement is incomplete, including `missing_clients`."""
    missing_clients: str | None = None
    """How the clients at the end differ from the requested number: a problem, unless a fault caused it."""
    clocks: ClockComparison | None = None
    """None if no replica reported its clock."""
    wide_bounds: str | None = None
    """Hops whose clock bound is too wide: a problem, except in a comparison, which judges differences by the bounds."""
    breaches: tuple[str, ...] = ()
    """Thresholds of `--fail-if` that were exceeded."""
    recovery: RecoveryTimes | None = None
    bystanders: Bystanders | None = None
    visits: VisitResult | None = None
    streams: StreamFigures | None = None

    @model_serializer(mode="wrap")
    def _with_what_there_was(self, fields: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out the figures that this measurement did not have."""
        written: dict[str, object] = fields(self)
        return {name: value for name, value in written.items() if value is not None or name in _NULL_IF_NONE}


_NULL_IF_NONE = ("event_bytes", "missing_clients")

T = TypeVar("T")


def carried(value: T | None, name: str) -> T:
    """A figure that must be present if all replicas are ours.

    Raises:
        DocumentError: it is absent.
    """
    if value is None:
        raise DocumentError(
            f"the load's result has no {name}: not all events have fanbench's stamp; are all servers its replicas?"
        )
    return value
