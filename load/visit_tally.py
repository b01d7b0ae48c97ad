"""Counters over the visits to sessions, as a value that can be added to those of other processes."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class VisitTally:
    """Counters over the visits of a process."""

    due: int = 0
    """Visits that should be open by now, of the present users."""
    opened: int = 0
    """Of these, the connected ones."""
    complete: int = 0
    """Of those, the ones that got every event up to their last, once, with the right bytes."""
    wrong: int = 0
    """Events whose bytes differ from those that were sent."""
    moved: int = 0
    late: int = 0
    expected: int = 0
    """Measured events of all due visits."""

    def add(self, other: VisitTally) -> None:
        """Add another's counts to this one."""
        for one in fields(VisitTally):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
