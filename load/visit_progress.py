"""The progress of one visit: what its client has received of its session, and what to do next. It only reports.

It has no other effects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from core.token_sessions import TokenSession, Visit
from load.frames import Event
from load.worker_result import SpanName


@dataclass(slots=True)
class VisitTimes:
    """Times of a process's visits since the last fold, in nanoseconds."""

    first_event_ns: array[int] = field(default_factory=lambda: array("q"))
    """From the opening, or from when the first event was due if that was later, to its arrival."""
    gap_sent_ns: array[int] = field(default_factory=lambda: array("q"))
    """The time between consecutive events, as sent."""
    gap_seen_ns: array[int] = field(default_factory=lambda: array("q"))
    """The time between the same two, as they arrived."""

    def by_span(self) -> dict[SpanName, array[int]]:
        """The times by the names of their histograms."""
        return {"first_token": self.first_event_ns, "gap_sent": self.gap_sent_ns, "gap_seen": self.gap_seen_ns}


class VisitProgress:
    """`note` is called for each event that is new to the client; `beyond` says which events do not concern it."""

    __slots__ = (
        "_before", "_before_ns", "_due_ns", "_on_end", "_on_move", "_times", "doubled", "ended", "heard", "moved",
        "opened_ns", "session", "visit", "wrong",
    )  # fmt: skip

    def __init__(
        self,
        session: TokenSession,
        visit: Visit,
        starts_ns: int,
        opened_ns: int,
        times: VisitTimes,
        *,
        on_move: Callable[[], object],
        on_end: Callable[[], object],
    ) -> None:
        self.session = session
        self.visit = visit
        self.opened_ns = opened_ns
        self.doubled = 0
        self.wrong = 0
        """Events whose bytes differ from those that were sent."""
        self.ended = False
        """Whether its last event has come."""
        self.heard = False
        self.moved = False
        self._due_ns = starts_ns + session.due_ns[0]
        self._times = times
        self._before: Event | None = None
        self._before_ns = 0
        self._on_move = on_move
        self._on_end = on_end

    def beyond(self, seq: int) -> bool:
        """Whether the client has left before this event, though it may be in the same read."""
        return seq > self.visit.last_seq

    def note(self, event: Event, now_ns: int) -> None:
        """Note a new event."""
        seq = event.seq
        if seq > self.session.last_seq or event.content.encode() != self.session.payload(seq):
            self.wrong += 1
        if not self.heard:
            self.heard = True
            if self.session.measured_from == 0:
                self._times.first_event_ns.append(now_ns - max(self.opened_ns, self._due_ns))
        opened_ns = self.opened_ns
        if event.sent_ns < opened_ns:  # history, which is due to this client since its request
            event.due_ns = event.sent_ns = opened_ns
            event.received_ns = max(event.received_ns, opened_ns)
        before = self._before
        if before is not None and seq == before.seq + 1 and event.measured and before.sent_ns > opened_ns:
            self._times.gap_sent_ns.append(event.sent_ns - before.sent_ns)
            self._times.gap_seen_ns.append(now_ns - self._before_ns)
        self._before, self._before_ns = event, now_ns
        if seq >= self.visit.last_seq:
            self.ended = True
            self._on_end()
        elif not self.moved and 0 <= self.visit.moves_after_seq <= seq:
            self.moved = True
            self._before = None  # the pause that follows belongs to the move
            self._on_move()
