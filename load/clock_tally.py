"""What one process found about clocks during the measurement; values from several processes can be added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from core.clock_offset import OffsetInterval
from core.contracts.measures import Span


@dataclass(slots=True)
class ClockTally:
    """What is known about the deliveries' clocks. A process that saw no replica's clock has compared nothing."""

    reference: str = ""
    """The replica with the lowest name and a known clock."""
    offsets: dict[str, OffsetInterval] = field(default_factory=dict)
    """How far each replica, load host and generator is ahead of the reference."""
    bounds_ns: dict[Span, int] = field(default_factory=dict)
    """The widest bound that a delivery of the hop had."""
    lowest_ns: dict[Span, int] = field(default_factory=dict)
    """The hop's lowest duration, if one was negative."""
    were_set: dict[str, int] = field(default_factory=dict)
    """The owners of clocks that were set, and by how many nanoseconds; 0 if unknown."""
    uncompared: Counter[str] = field(default_factory=Counter)
    """Deliveries from replicas whose clock could not be compared, by replica."""
    unknown_generator: int = 0
    """Deliveries from generators whose clock could not be compared."""
    unknown_orders: bool = False
    """Whether orders came by a clock that could not be compared."""

    def note_bound(self, span: Span, bound_ns: int) -> None:
        """Record the bound of a delivery."""
        self.bounds_ns[span] = max(self.bounds_ns.get(span, 0), bound_ns)

    def note_lowest(self, span: Span, lowest_ns: int) -> None:
        """Note the duration of a delivery; it counts if it is negative."""
        if lowest_ns < 0:
            self.lowest_ns[span] = min(self.lowest_ns.get(span, 0), lowest_ns)

    def note_set(self, whose: str, by_ns: int) -> None:
        """A clock was set."""
        self.were_set[whose] = max(self.were_set.get(whose, 0), by_ns, key=abs)

    def add(self, other: ClockTally) -> None:
        """Add another process's findings."""
        if other.reference and not (self.reference and self.reference < other.reference):
            if other.reference != self.reference:
                self.offsets = {}  # they are relative to another replica, the lowest name that this process knew
            self.reference = other.reference
        for name, offset in other.offsets.items() if other.reference == self.reference else ():
            known = self.offsets.get(name, offset)
            self.offsets[name] = known.intersect(offset) or known
        for span, bound_ns in other.bounds_ns.items():
            self.note_bound(span, bound_ns)
        for span, lowest_ns in other.lowest_ns.items():
            self.note_lowest(span, lowest_ns)
        for whose, by_ns in other.were_set.items():
            self.note_set(whose, by_ns)
        self.uncompared.update(other.uncompared)
        self.unknown_generator += other.unknown_generator
        self.unknown_orders = self.unknown_orders or other.unknown_orders
