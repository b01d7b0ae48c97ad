"""One process's measurement, as a value that can be added to others; load/totals.py encodes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

from core.contracts.load_result import Cause
from core.histogram import Histogram
from load.clock_bound import ClockBound
from load.clock_tally import ClockTally
from load.frames import Times
from load.ledger import Series, Track
from load.second_counts import SecondCounts
from load.visit_tally import VisitTally

SpanName = Literal[
    "schedule", "broker", "fanout", "connect", "turn", "downtime", "bystanders", "before", "first_event", "silence", "first_wait",
    "since_sent", "first_token", "gap_sent", "gap_seen", "stream_first", "stream_gap", "stream_silence", "stream_answer",
]  # fmt: skip
"""The hops, and `since_sent`, latency without the schedule hop; `bystanders` and `before` since a client was set aside; `first_event` and `silence` since a mark, one value per client; `first_wait` of visits whose first event came, or did not come, after a mark;
`turn` how long a connect waited for its turn; `first_token`, `gap_sent` and `gap_seen` of visits to sessions; those with `stream_` of an endpoint, `stream_silence` with one value per client."""


class SeriesKey(NamedTuple):
    """Which series."""

    stream: str
    topic: str


class SeqBounds(NamedTuple):
    """The lowest and the highest measured seq of a series that any client got."""

    low_seq: int
    high_seq: int


Horizon = dict[SeriesKey, SeqBounds]


def horizon_of(series: Iterable[Series]) -> Horizon:
    """The bounds of all series that have measured events."""
    return {
        SeriesKey(one.stream, one.topic): SeqBounds(one.low_seq, one.high_seq)
        for one in series
        if one.low_seq is not None and one.high_seq is not None
    }


def widest(horizons: Iterable[Horizon]) -> Horizon:
    """What all processes saw together."""
    merged: Horizon = {}
    for horizon in horizons:
        for key, (low, high) in horizon.items():
            known = merged.get(key, SeqBounds(low, high))
            merged[key] = SeqBounds(min(known.low_seq, low), max(known.high_seq, high))
    return merged


class Seen(NamedTuple):
    """Which measured seqs of a series anyone got: all from `first` to `last` except the spans."""

    first: int
    last: int
    missing: list[tuple[int, int]]

    @classmethod
    def of(cls, track: Track) -> Seen:
        return cls(track.first_seq, track.next_seq - 1, [(span.first, span.last) for span in track.missing or ()])

    def ranges(self) -> list[tuple[int, int]]:
        """The runs of seqs that arrived, both ends included."""
        starts = [self.first, *(last + 1 for _, last in self.missing)]
        ends = [*(first - 1 for first, _ in self.missing), self.last]
        return [(start, end) for start, end in zip(starts, ends, strict=True) if start <= end]


def count_union(many: Iterable[Seen]) -> int:
    """How many different seqs are in any of them."""
    total, reach = 0, -1
    for start, end in sorted(run for seen in many for run in seen.ranges()):
        total += max(0, end - max(start, reach + 1) + 1)
        reach = max(reach, end)
    return total


@dataclass(slots=True)
class Tally:
    """Counters over the clients of a process. Event counters count only phase `measure`."""

    users: int = 0
    """Locust's users at the end."""
    clients: int = 0
    """Clients that ever connected."""
    connected: int = 0
    """Of these, connected at the end."""
    unreached: int = 0
    """Of these, without a single event."""
    left: int = 0
    """Clients that were connected and left before the end."""
    bystanders: int = 0
    deliveries: int = 0
    received: int = 0
    sized: int = 0
    wire_bytes: int = 0
    duplicated: int = 0
    reordered: int = 0
    replayed: int = 0
    gaps: int = 0
    reconnects: int = 0
    resting: int = 0
    """Clients that are disconnected on purpose at the end."""
    waiting: int = 0
    """Clients that wait for their turn to connect at the end."""
    unidentified: int = 0
    """Deliveries of events without identity: they are in no ledger."""
    opened: int = 0
    """At an endpoint: answers that began a stream; `whole` are those that ended properly."""
    whole: int = 0
    redirects: int = 0
    body_bytes: int = 0
    forgotten_ids: int = 0
    """Ids without numbers that were too many to be remembered."""

    def add(self, other: Tally) -> None:
        """Add another's counts to this one."""
        for one in fields(Tally):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class ServerTopic(NamedTuple):
    """Where a client is: the server is '' if it never reported its name."""

    server: str
    topic: str


@dataclass(slots=True)
class WorkerResult:
    """The measurement of one process, or of several together. Times in wall-clock nanoseconds."""

    tally: Tally = field(default_factory=Tally)
    causes: Counter[Cause] = field(default_factory=Counter)
    """Lost deliveries."""
    foreign: Counter[str] = field(default_factory=Counter)
    disconnects: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    clients: Counter[ServerTopic] = field(default_factory=Counter)
    """The clients that were there at the end."""
    seen: dict[SeriesKey, list[Seen]] = field(default_factory=dict)
    spans: dict[SpanName, Histogram] = field(default_factory=dict)
    servers: dict[str, Histogram] = field(default_factory=dict)
    """Each server's latency."""
    seconds: SecondCounts = field(default_factory=SecondCounts)
    """Each second of due time to its latency."""
    first_due_ns: int | None = None
    last_arrival_ns: int = 0
    told: Counter[Times] = field(default_factory=Counter)
    """Deliveries by the instants that their events have."""
    set_aside: set[str] = field(default_factory=set)
    """Why events were not deliveries, according to the dialect of an endpoint."""
    endpoint: bool = False
    """Whether the clients were at an endpoint that is not ours."""
    clock: ClockBound = field(default_factory=ClockBound)
    visits: VisitTally | None = None
    """The tally of visits to sessions, if there are any."""
    clocks: ClockTally = field(default_factory=ClockTally)

    @property
    def lost(self) -> int:
        """Deliveries that are missing."""
        return sum(self.causes.values())

    @property
    def has_ledger(self) -> bool:
        """Whether every delivery is in a ledger."""
        return self.tally.unidentified == 0 and (self.tally.deliveries > 0 or not self.endpoint)

    def tell(self, *times: Times) -> bool:
        """Whether every delivery has one of these times."""
        if not self.endpoint:
            return True
        return 0 < self.tally.deliveries == sum(self.told[one] for one in times)

    def events(self) -> int:
        """How many different measured events any client got."""
        return sum(count_union(seen) for seen in self.seen.values())

    def latency(self) -> Histogram:
        """All servers' latency."""
        merged = Histogram()
        for one in self.servers.values():
            merged.merge(one)
        return merged

    def horizon(self) -> Horizon:
        """The bounds of the seen events."""
        return {
            key: SeqBounds(min(one.first for one in seen), max(one.last for one in seen))
            for key, seen in self.seen.items()
        }

    def add(self, other: WorkerResult) -> None:
        """Add the measurement of another process."""
        self.tally.add(other.tally)
        self.causes.update(other.causes)
        self.foreign.update(other.foreign)
        self.disconnects.update(other.disconnects)
        self.refused.update(other.refused)
        self.clients.update(other.clients)
        for key, seen in other.seen.items():
            self.seen.setdefault(key, []).extend(seen)
        for span, histogram in other.spans.items():
            self.spans.setdefault(span, Histogram()).merge(histogram)
        for server, histogram in other.servers.items():
            self.servers.setdefault(server, Histogram()).merge(histogram)
        self.seconds.merge(other.seconds)
        starts = [at for at in (self.first_due_ns, other.first_due_ns) if at is not None]
        self.first_due_ns = min(starts, default=None)
        self.last_arrival_ns = max(self.last_arrival_ns, other.last_arrival_ns)
        self.clocks.add(other.clocks)
        self.told.update(other.told)
        self.set_aside |= other.set_aside
        self.endpoint = self.endpoint or other.endpoint
        self.clock.meet(other.clock)
        if other.visits is not None:
            self.visits = self.visits or VisitTally()
            self.visits.add(other.visits)
