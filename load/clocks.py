"""The clocks that this process knows: those of the replicas, and of the generators whose events it receives.

All instants are moved into this process's own clock, so that hops are differences of one clock. Nothing here reads a socket.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from core.clock_offset import SAME, OffsetEstimator, OffsetInterval
from core.host_clock import ClockMark, HostClock, short_name

STALE_NS = 10_000_000_000
"""A replica that has not reported its clock for this long is no longer reached on the connection that led to it."""


@dataclass(slots=True)
class ReplicaClock:
    """One replica's clock, as seen from this process."""

    clock: HostClock | None
    """None if the replica does not report it."""
    one: bool
    """Whether it is our own."""
    estimator: OffsetEstimator = field(default_factory=OffsetEstimator)
    heard_ns: int = 0
    """When it last answered, by our clock."""

    def ahead(self, at_ns: int, reach_ns: int = 0) -> OffsetInterval | None:
        """Return how far it is ahead of ours at that instant and up to `reach_ns` before it; None before a probe."""
        return SAME if self.one else self.estimator.at(at_ns, reach_ns)


class KnownClocks:
    """What this process knows about other clocks; `own` is its own clock."""

    def __init__(self, own: HostClock) -> None:
        self.own = own
        self.replicas: dict[str, ReplicaClock] = {}
        self.without_clock = False
        """Whether some address has no `GET /clock`."""
        self._missing = ""
        """The short name of a replica that a generator compared itself with, and whose clock is not known here."""

    @property
    def nothing_to_compare(self) -> bool:
        """Whether no replica reports its clock: all instants are then taken as they are."""
        return self.without_clock and not self.replicas

    def lacks(self, servers: Collection[str], now_ns: int) -> bool:
        """Whether one of these replicas, or one that a generator compared itself with, has not reported its clock lately."""
        known = self.replicas
        if any(name not in known or now_ns - known[name].heard_ns > STALE_NS for name in servers):
            return True
        return bool(self._missing) and self._missing not in map(short_name, known)

    @property
    def all_one(self) -> bool:
        """Whether no replica is known to read another clock than ours."""
        return all(replica.one for replica in self.replicas.values())

    def heard(self, server: str, clock: HostClock | None, probe_ns: tuple[int, int, int]) -> None:
        """Add an answer of a replica; `probe_ns` has the instants of the request, of the replica's clock, and of the answer's arrival."""
        left_ns, remote_ns, back_ns = probe_ns
        one = clock is not None and clock.is_same(self.own) and left_ns <= remote_ns <= back_ns
        replica = self.replicas.get(server)
        if replica is None:
            replica = self.replicas[server] = ReplicaClock(clock, one)
        elif replica.one and not one:
            # It was our clock until now, and is another: it was set, or ours was.
            replica.one, replica.estimator.stepped = False, True
        replica.clock, replica.heard_ns = clock, back_ns
        replica.estimator.add(left_ns, remote_ns, back_ns)

    def stepped(self) -> list[str]:
        """The replicas whose clocks were set relative to ours, or ours relative to theirs."""
        return sorted(name for name, replica in self.replicas.items() if replica.estimator.stepped)

    def forgive(self) -> None:
        """Restart the measurement."""
        for replica in self.replicas.values():
            replica.estimator.forgive()

    def generator_ahead(self, mark: ClockMark | None, at_ns: int, reach_ns: int = 0) -> OffsetInterval | None:
        """Return how far the clock of an event's generator is ahead of ours; None if unknown.

        It is that of the process or the replica that reads the same clock, or follows from the replica that it compared itself with. An
        event without a mark counts as one of this host if every replica is on this host.
        """
        if mark is None:
            return SAME if self.all_one else None
        if mark.clock.is_same(self.own):
            return SAME
        compared = None
        for name, replica in self.replicas.items():
            if replica.clock is not None and mark.clock.is_same(replica.clock):
                return replica.ahead(at_ns, reach_ns)
            if mark.ahead is not None and short_name(name) == mark.server:
                compared = replica
        if compared is None and mark.ahead is not None:
            self._missing = mark.server
        ours = compared.ahead(at_ns, reach_ns) if compared is not None else None
        return ours.minus(mark.ahead) if ours is not None and mark.ahead is not None else None

    def offsets(self, at_ns: int) -> dict[str, OffsetInterval]:
        """Return how far each replica with another clock is ahead of ours."""
        known = {name: replica.ahead(at_ns) for name, replica in self.replicas.items()}
        return {name: ahead for name, ahead in known.items() if ahead is not None}
