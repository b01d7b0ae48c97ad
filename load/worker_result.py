"""What one process measured, as a value that travels between processes and adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.histogram import Histogram
from load.ledger import Series, Track


class SeqBounds(NamedTuple):
    """The lowest and the highest measured seq of a series that any client got."""

    low_seq: int
    high_seq: int


Horizon = dict[tuple[str, str], SeqBounds]
"""(stream, topic) to its bounds."""


def horizon_of(series: Iterable[Series]) -> Horizon:
    """The bounds of all series that have measured events."""
    return {
        (one.stream, one.topic): SeqBounds(one.low_seq, one.high_seq)
        for one in series
        if one.low_seq is not None and one.high_seq is not None
    }


def widest(horizons: Iterable[Horizon]) -> Horizon:
    """What the processes saw together."""
    merged: Horizon = {}
    for horizon in horizons:
        for key, (low, high) in horizon.items():
            known = merged.get(key, SeqBounds(low, high))
            merged[key] = SeqBounds(min(known.low_seq, low), max(known.high_seq, high))
    return merged


def horizon_to_wire(horizon: Horizon) -> list[list[Any]]:
    """As plain lists, for msgpack."""
    return [[stream, topic, low, high] for (stream, topic), (low, high) in horizon.items()]


def horizon_from_wire(rows: list[list[Any]]) -> Horizon:
    """Read what `horizon_to_wire` wrote."""
    return {(stream, topic): SeqBounds(low, high) for stream, topic, low, high in rows}


EncodedHistogram = tuple[str, int]
"""A histogram encoded, and its negative values, which the encoding leaves out."""


@dataclass(slots=True)
class Distribution:
    """A histogram together with the negative values that its encoding leaves out."""

    histogram: Histogram = field(default_factory=Histogram)

    def add(self, other: Histogram) -> None:
        """Merge another."""
        self.histogram.merge(other)

    def to_wire(self) -> EncodedHistogram:
        """As plain values."""
        return self.histogram.encode(), self.histogram.negative

    @classmethod
    def from_wire(cls, wire: EncodedHistogram) -> Distribution:
        """Read what `to_wire` wrote."""
        text, negative = wire
        histogram = Histogram.decode(text)
        histogram.negative = negative
        return cls(histogram)


def _add_distributions(mine: dict[Any, Distribution], others: dict[Any, Distribution]) -> None:
    for name, other in others.items():
        mine.setdefault(name, Distribution()).add(other.histogram)


class Seen(NamedTuple):
    """Which measured seqs of a series anyone got: all from `first` to `last` but the spans."""

    first: int
    last: int
    missing: list[tuple[int, int]]

    @classmethod
    def of(cls, track: Track) -> Seen:
        return cls(track.first_seq, track.next_seq - 1, [(span.first, span.last) for span in track.missing or ()])

    def ranges(self) -> list[tuple[int, int]]:
        """The runs of seqs that came, both ends included."""
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
class WorkerResult:
    """What a process measured, or several together. Times in wall-clock nanoseconds."""

    counts: Counter[str] = field(default_factory=Counter)
    """users, clients, connected, unreached, bystanders, deliveries, received, sized, wire_bytes, lost, duplicated, reordered, replayed, gaps, reconnects"""
    causes: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)
    disconnects: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    clients: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(server, topic) to the clients that were there at the end; the server is '' for those that it never told."""
    seen: dict[tuple[str, str], list[Seen]] = field(default_factory=dict)
    times: dict[str, Distribution] = field(default_factory=dict)
    """The hops; `connect`, `downtime`; `bystanders` and `before`; since a mark `first_event` and `silence`, with a value a client."""
    servers: dict[str, Distribution] = field(default_factory=dict)
    """Each server's latency."""
    seconds: dict[int, Distribution] = field(default_factory=dict)
    """Each second of due time to its latency."""
    first_due_ns: int | None = None
    last_arrival_ns: int = 0

    def events(self) -> int:
        """How many different measured events any client got."""
        return sum(count_union(seen) for seen in self.seen.values())

    def latency(self) -> Histogram:
        """All servers' latency."""
        merged = Histogram()
        for distribution in self.servers.values():
            merged.merge(distribution.histogram)
        return merged

    def add(self, other: WorkerResult) -> None:
        """Add what another process measured."""
        for name in ("counts", "causes", "foreign", "disconnects", "refused", "clients"):
            getattr(self, name).update(getattr(other, name))
        for key, seen in other.seen.items():
            self.seen.setdefault(key, []).extend(seen)
        for name in ("times", "servers", "seconds"):
            _add_distributions(getattr(self, name), getattr(other, name))
        starts = [at for at in (self.first_due_ns, other.first_due_ns) if at is not None]
        self.first_due_ns = min(starts, default=None)
        self.last_arrival_ns = max(self.last_arrival_ns, other.last_arrival_ns)

    def to_wire(self) -> dict[str, Any]:
        """As plain values, for msgpack."""
        wire: dict[str, Any] = {
            name: dict(getattr(self, name)) for name in ("counts", "causes", "foreign", "disconnects", "refused")
        }
        for name in ("times", "servers", "seconds"):
            wire[name] = {key: one.to_wire() for key, one in getattr(self, name).items()}
        wire["clients"] = [[*key, count] for key, count in self.clients.items()]
        wire["seen"] = [[*key, list(one)] for key, many in self.seen.items() for one in many]
        return wire | {"first_due_ns": self.first_due_ns, "last_arrival_ns": self.last_arrival_ns}

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> WorkerResult:
        """Read what `to_wire` wrote."""
        totals = cls(first_due_ns=wire["first_due_ns"], last_arrival_ns=wire["last_arrival_ns"])
        for name in ("counts", "causes", "foreign", "disconnects", "refused"):
            getattr(totals, name).update(wire[name])
        for name in ("times", "servers", "seconds"):
            getattr(totals, name).update({key: Distribution.from_wire(one) for key, one in wire[name].items()})
        for server, topic, count in wire["clients"]:
            totals.clients[server, topic] = count
        for stream, topic, (first, last, missing) in wire["seen"]:
            totals.seen.setdefault((stream, topic), []).append(Seen(first, last, [(a, b) for a, b in missing]))
        return totals
