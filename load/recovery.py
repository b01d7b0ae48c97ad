"""One client's recovery from a fault: the first event after it, and the longest silence."""

from __future__ import annotations

NOTICED_NS = 200_000_000
"""Silences are checked this often; shorter ones count as none."""


class Recovery:
    """One client since the last mark; times in nanoseconds of this process's wall clock."""

    __slots__ = ("first_event_ns", "longest_silence_ns", "mark_ns")

    def __init__(self, mark_ns: int) -> None:
        self.mark_ns = mark_ns
        self.first_event_ns: int | None = None
        """The time from the mark to the first arrival of an event that was due after it; None until there was one."""
        self.longest_silence_ns = 0

    @property
    def waiting(self) -> bool:
        """Whether the first event after the mark is still to come."""
        return self.first_event_ns is None

    def note(self, due_ns: int, now_ns: int) -> None:
        """Note an event that was due at that instant."""
        if self.first_event_ns is None and due_ns >= self.mark_ns:
            self.first_event_ns = now_ns - self.mark_ns

    def heard(self, before_ns: int, now_ns: int) -> None:
        """An arrival, and the one before it."""
        if before_ns:
            self.longest_silence_ns = max(self.longest_silence_ns, now_ns - before_ns)
