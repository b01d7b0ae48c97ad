"""The clients of sessions: the schedule decides when they arrive, and after which event they leave.

Locust's users take the visits in turn. Each process computes the whole schedule and opens the visits of the users that are here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from time import time_ns
from typing import Any, NamedTuple, Protocol

from core.contracts.load_result import Cause
from core.contracts.session_rules import SessionRules
from core.token_sessions import START_ID, PlannedVisit, visits
from load.client_state import ClientState, Counters
from load.clock_correction import ClockCorrection
from load.ledger import Track
from load.plan import Seat
from load.recovery import Recovery
from load.visit_progress import VisitProgress, VisitTimes
from load.visit_tally import VisitTally

GRACE_NS = 10_000_000_000
"""How long a visit waits for missing events after the end of its session."""


class Visitor(NamedTuple):
    """A user that takes visits."""

    seat: Seat


class House(Protocol):
    """Opens and closes the clients of visits: this process's measurement."""

    counters: Counters
    clocks: ClockCorrection
    marked_ns: int
    """When the last fault began; 0: there was none."""

    def admit(self, topic: str, user: int, replica: int, state: ClientState) -> Any:
        """Begin to connect a client, and return it."""

    def dismiss(self, client: Any) -> None:
        """Close a client's connection for good."""


@dataclass(slots=True)
class _Open:
    """A visit that is open."""

    progress: VisitProgress
    client: Any
    until_ns: int


@dataclass(slots=True)
class VisitAccount:
    """The result of the finished visits."""

    tally: VisitTally = field(default_factory=VisitTally)
    causes: Counter[Cause] = field(default_factory=Counter)
    """Lost deliveries."""
    received: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    """The recoveries of visits that were open when a fault began."""
    first_waits_ns: list[int] = field(default_factory=list)
    """How long visits waited for their first event if it came, or did not come, after a fault began."""


class Visits:
    """The visits of the users that are in this process."""

    def __init__(self, rules: SessionRules, users: int, replicas: int, house: House, loop: Any) -> None:
        self.present: set[int] = set()
        self.times = VisitTimes()
        self.account = VisitAccount()
        self._rules = rules
        self._users = users
        self._replicas = replicas
        self._house = house
        self._loop = loop
        self._timer: Any = None
        self._starts_ns = 0
        self._coming = visits(rules)
        self._next: PlannedVisit | None = next(self._coming, None)
        self._open: dict[int, _Open] = {}

    def sit(self, number: int) -> Visitor:
        """Add a user."""
        self.present.add(number)
        return Visitor(Seat(number, "", number % self._replicas))

    def rise(self, number: int) -> None:
        """A user leaves, and its visits end."""
        self.present.discard(number)
        for visit in [visit for visit in self._open if visit % self._users == number]:
            self._close(visit)

    def begin(self, starts_ns: int) -> None:
        """The schedule starts at that instant; once."""
        if not self._starts_ns:
            self._starts_ns = starts_ns
            self._open_due()

    def _open_due(self) -> None:
        """Open the visits that are due, and schedule the next call."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        while (planned := self._next) is not None:
            wait_ns = self._starts_ns + planned.opens_ns - time_ns()
            if wait_ns > 0:
                self._timer = self._loop.timer(wait_ns / 1e9)
                self._timer.start(self._open_due)
                return
            self._next = next(self._coming, None)
            if planned.number % self._users in self.present:
                self._begin_visit(planned)

    def _begin_visit(self, planned: PlannedVisit) -> None:
        visit, session = planned.visit, planned.session
        state = ClientState(session.topic, self._house.counters, START_ID)
        number = visit.number
        state.visit = VisitProgress(
            session, visit, time_ns(), self.times, self._house.clocks.ahead,
            on_move=lambda: self._loop.run_callback(partial(self._move, number)),
            on_end=lambda: self._loop.run_callback(partial(self._close, number)),
        )  # fmt: skip
        self.account.tally.due += 1
        self.account.tally.late += visit.late
        self.account.tally.expected += session.expected(visit)
        until_ns = self._starts_ns + session.due_ns[-1] + GRACE_NS
        client = self._house.admit(session.topic, number % self._users, visit.turn % self._replicas, state)
        self._open[number] = _Open(state.visit, client, until_ns)

    def _move(self, number: int) -> None:
        one = self._open.get(number)
        if one is not None and not one.progress.ended:  # its last event may have come in the same read
            self.account.tally.moved += 1
            one.client.reader.move()

    def _close(self, number: int) -> None:
        """End a visit and enter its result."""
        one = self._open.pop(number, None)
        if one is None:
            return
        state: ClientState = one.client.state
        connected = state.connected
        self._house.dismiss(one.client)
        progress, account = one.progress, self.account
        visit, first = progress.visit, progress.session.measured_from
        tail = Cause.TAIL if connected else Cause.CONNECTION
        track = next(iter(state.tracks.values()), None) or Track(None)
        before = Cause.GAP if progress.told_gap else None
        lost = lost_of(track, first, visit.last_seq, tail, before)
        account.causes.update(lost)
        account.received += progress.session.expected(visit) - sum(lost.values())
        account.tally.opened += state.opened_once
        account.tally.wrong += progress.wrong
        whole = not lost_of(track, 0, visit.last_seq, tail) and not progress.doubled and not progress.wrong
        account.tally.complete += whole
        if state.recovery is not None:
            account.recoveries.append(state.recovery)
        if self._house.marked_ns:
            self._enter_first_wait(progress)

    def _enter_first_wait(self, progress: VisitProgress) -> None:
        """Enter a wait that lasted into the time after the fault began: a visit that opens then finds no replica, or no history."""
        waited_ns, until_ns = progress.waited_ns, progress.heard_ns
        if not until_ns:  # it waited in vain until the session's end
            until_ns = min(time_ns(), self._starts_ns + progress.session.due_ns[-1])
            waited_ns = until_ns - max(progress.opened_ns, self._starts_ns + progress.session.due_ns[0])
        if until_ns >= self._house.marked_ns and waited_ns > 0:
            self.account.first_waits_ns.append(waited_ns)

    def tick(self, now_ns: int) -> None:
        """Give up overdue visits."""
        for number in [number for number, one in self._open.items() if one.until_ns < now_ns]:
            self._close(number)

    def finish(self) -> VisitAccount:
        """End all visits, and open no more."""
        self._next = None
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        for number in list(self._open):
            self._close(number)
        return self.account


def lost_of(track: Track, first: int, last: int, tail: Cause, before: Cause | None = None) -> dict[Cause, int]:
    """Count what a client misses of the seqs from `first` to `last`, all of which were published.

    `before` is the cause of what is missing before its first event, if it was told.
    """
    if first > last:
        return {}
    if track.first_seq < 0:
        return {track.cause or before or tail: last - first + 1}
    lost = track.lost(first, last, tail)
    earlier = min(track.first_seq - 1, last) - first + 1
    if earlier > 0:  # it arrived, or was admitted, too late for these
        cause = before or Cause.UNEXPLAINED
        lost[cause] = lost.get(cause, 0) + earlier
    return lost
