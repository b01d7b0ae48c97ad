"""What the load measured: the file of `--out`; docs/load.md explains the fields."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from core.contracts.clock import ClockComparison
from core.contracts.codec import Document
from core.contracts.measures import Percentiles, Span


class Cause(Enum):
    """The cause of a missing delivery, as far as the client can know."""

    CONNECTION = "connection_down"
    """The client was not connected, and resuming did not recover it."""
    GAP = "gap_reported"
    """The replica reported it with an `event: gap`."""
    UNEXPLAINED = "unexplained"
    """It is silently missing from the middle of a connected stream: the worst kind."""
    TAIL = "under_way"
    """It is missing at the end of a connected stream; others got it, so it may have been in flight."""


class HopPercentiles(Document):
    """By hop, in milliseconds."""

    schedule: Percentiles
    broker: Percentiles
    fanout: Percentiles


class EncodedHistograms(Document):
    """HDR V2, base64, microseconds: the latency and each hop."""

    latency: str
    schedule: str
    broker: str
    fanout: str

    def by_span(self) -> dict[Span, str]:
        """The same, by name."""
        return {
            "latency": self.latency,
            "schedule": self.schedule,
            "broker": self.broker,
            "fanout": self.fanout,
        }


class ServedClients(Document):
    """The clients of one replica at the end, and what they got from it."""

    clients: int
    deliveries: int
    latency_ms: Percentiles
    topics: dict[str, int]
    """Clients by topic."""


class MeasuredSecond(Document):
    """One second of due time; `t_s` counts from the first in which an event was due."""

    t_s: int
    deliveries: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class RecoveryTimes(Document):
    """Over the clients, since the last mark."""

    clients: int
    never: int
    """Clients that got no event that was due after the mark."""
    first_event_ms: Percentiles
    longest_silence_ms: Percentiles


class Bystanders(Document):
    """The clients that were neither stalled nor churned nor, with a share, cut."""

    clients: int
    deliveries: int
    latency_ms: Percentiles
    before_ms: Percentiles
    """Latency of all clients until then."""


class VisitResult(Document):
    """Over the visits of clients to sessions; docs/scenarios.md explains them."""

    due: int
    """Planned visits."""
    opened: int
    """Of these, the connected ones."""
    complete: int
    """Of these, the ones that got every event up to their last one, exactly once, with the right bytes."""
    wrong: int
    """Events whose bytes are not those that were sent."""
    late: int
    """Visits that opened in the middle of their session."""
    moved: int
    """Visits that continued at another replica."""
    expected: int
    """Measured events of the visits that were due."""
    first_event_ms: Percentiles
    """From the start of a visit, or from the due instant of its session's first event, to its first event."""
    gap_sent_ms: Percentiles
    """Between consecutive events, as sent."""
    gap_seen_ms: Percentiles
    """Between the same two, as they arrived."""


class LoadResult(Document):
    """One measurement. `recovery` and `bystanders` are there only after a fault, `visits` only with sessions."""

    version: Literal[1] = 1
    asked: int
    """The last number of clients that was requested."""
    clients: int
    left: int
    users: int
    connected: int
    unreached: int
    deliveries: int
    received: int
    events: int
    lost: int
    duplicated: int
    reordered: int
    replayed: int
    reconnects: int
    gaps: int
    negative: int
    negatives: dict[Span, int]
    foreign: int
    duration_s: float
    latency_ms: Percentiles
    since_sent_ms: Percentiles
    """Latency without the schedule hop: as if the generator had never been late."""
    hops_ms: HopPercentiles
    event_bytes: float | None
    connect_ms: Percentiles
    downtime_ms: Percentiles
    servers: dict[str, ServedClients]
    topics: dict[str, int]
    causes: dict[Cause, int]
    foreign_kinds: dict[str, int]
    disconnects: dict[str, int]
    refused: dict[str, int]
    timeline: tuple[MeasuredSecond, ...]
    histograms: EncodedHistograms
    problems: tuple[str, ...]
    """Why the measurement is not complete, `missing_clients` among them."""
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

    @model_serializer(mode="wrap")
    def _with_what_there_was(self, fields: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what only a fault or sessions give, if there were none."""
        written: dict[str, object] = fields(self)
        return {name: value for name, value in written.items() if name not in _AT_TIMES or value is not None}


_AT_TIMES = ("recovery", "bystanders", "visits")
