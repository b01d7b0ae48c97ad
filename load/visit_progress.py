"""The progress of one visit: what its client has received of its session, and what to do next. It only reports.

It has no other effects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from core.host_clock import split_mark
from core.token_sessions import TokenSession, Visit
from load.frames import ClocksAhead, Event
from load.worker_result import SpanName

AheadOf = Callable[[Event, int], ClocksAhead | None]
"""How far the clocks of an event's instants are ahead of this process's, now; None if that is not known."""
_UNKNOWN_CLOCKS = ClocksAhead(0, 0)
"""Nothing is corrected; the measurement is refused for it (load/clock_problems.py)."""


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
        "_ahead", "_ahead_at", "_ahead_of", "_before", "_before_ns", "_mark", "_on_end", "_on_move", "_times", "doubled", "ended", "heard_ns", "moved",
        "opened_ns", "session", "told_gap", "visit", "waited_ns", "wrong",
    )  # fmt: skip

    def __init__(
        self,
        session: TokenSession,
        visit: Visit,
        opened_ns: int,
        times: VisitTimes,
        ahead_of: AheadOf,
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
        self.heard_ns = 0
        """When its first event came; 0: not yet."""
        self.waited_ns = 0
        """How long it waited for that: since it opened, or since the session's first event was due if that was later."""
        self.moved = False
        self.told_gap = False
        """Whether the replica said, before the first event, that earlier ones are missing."""
        self._times = times
        self._ahead_of = ahead_of
        self._ahead: ClocksAhead | None = None
        self._ahead_at = ("", "")
        """The server and the mark of `_ahead`."""
        self._mark = ""
        self._before: Event | None = None
        self._before_ns = 0
        self._on_move = on_move
        self._on_end = on_end

    def _clocks_of(self, event: Event, now_ns: int) -> ClocksAhead:
        """The correction of the event; it is looked up again for another server or mark, and while it is not known."""
        if self._ahead is None or self._ahead_at != (event.server, self._mark):
            self._ahead, self._ahead_at = self._ahead_of(event, now_ns), (event.server, self._mark)
        return self._ahead or _UNKNOWN_CLOCKS

    def beyond(self, seq: int) -> bool:
        """Whether the client has left before this event, though it may be in the same read."""
        return seq > self.visit.last_seq

    def note(self, event: Event, now_ns: int) -> None:
        """Note a new event."""
        seq, session = event.seq, self.session
        mark, content = split_mark(event.content)
        if seq > session.last_seq or content.encode() != session.payload(seq):
            self.wrong += 1
        self._mark = event.content = mark or self._mark  # this is what its clocks are corrected by
        ahead = self._clocks_of(event, now_ns)
        if not self.heard_ns:
            self.heard_ns = now_ns
            since_first_ns = session.due_ns[min(seq, session.last_seq)] - session.due_ns[0]
            due_ns = event.due_ns - ahead.generator_ns - since_first_ns
            self.waited_ns = now_ns - max(self.opened_ns, due_ns)
            if session.measured_from == 0:
                self._times.first_event_ns.append(self.waited_ns)
        opened_ns = self.opened_ns
        if event.sent_ns - ahead.generator_ns < opened_ns:  # history, which is due to this client since its request
            event.due_ns = event.sent_ns = opened_ns + ahead.generator_ns
            event.received_ns = max(event.received_ns, opened_ns + ahead.server_ns)
            event.ahead = ahead
        before = self._before
        if before is not None and seq == before.seq + 1 and event.measured and before.ahead is None:
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
