"""Sessions (short-lived topics), as a schedule that every program computes in the same way.

docs/decisions/0015 has the reasons. A session is a separate topic. Its events come in bursts, as a language model
emits tokens; the last is an end marker, and the name is never used again. A visit is one client's stay at a session.
Both follow only from the rules.
"""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from core.contracts.session_rules import MAX_TOKEN_BYTES, NS_PER_S, SessionRules

START_ID = "0"
"""The last event id with which a client requests a topic from its start."""
END_MARKER = b"[end]"
FIRST_EVENT_S = (0.2, 0.8)
"""Time from a session's start to its first event, in which clients connect."""
SHORTEST_S = 1.0
"""The last session begins this long before the end of the run."""
MOST_AT_ONCE = 6
"""Events in a burst."""
_TOPIC = "session-"
_TEXT = bytes(random.Random("tokens").choices(b"abcdefghijklmnopqrstuvwxyz    ,.", k=2 * MAX_TOKEN_BYTES))


def mean_lifetime_s(rules: SessionRules) -> float:
    """The mean of random lifetimes."""
    return sum(_lifetime_s(rules.lifetime_s, (i + 0.5) / 100) for i in range(100)) / 100


def _lifetime_s(limits: tuple[float, float], share: float) -> float:
    shortest, longest = limits
    return float(round(shortest * (longest / shortest) ** share, 3))


class Visit(NamedTuple):
    """One client's stay at a session."""

    number: int
    """Its number among the run's visits."""
    opens_ns: int
    """Counted from the schedule's start."""
    late: bool
    turn: int
    """Its replica, modulo the number of replicas."""
    last_seq: int
    """The seq after which it leaves: the end marker's, unless it leaves early."""
    moves_after_seq: int
    """The event after which it continues at the next replica; -1: it stays."""


@dataclass(frozen=True)
class TokenSession:
    """One session. Instants are nanoseconds from the start of the schedule; an event's index is its seq."""

    number: int
    begins_ns: int
    due_ns: array[int]
    sizes: array[int]
    """Payload bytes of each event except the end marker."""
    measured_from: int
    """The first measured seq."""
    visits: tuple[Visit, ...]

    @cached_property
    def topic(self) -> str:
        """Its topic."""
        return f"{_TOPIC}{self.number}"

    @property
    def last_seq(self) -> int:
        """The end marker's seq."""
        return len(self.due_ns) - 1

    def payload(self, seq: int) -> bytes:
        """The bytes of an event, which follow from the session and the seq."""
        if seq == self.last_seq:
            return END_MARKER
        start = (self.number * 131 + seq * 17) % MAX_TOKEN_BYTES
        return _TEXT[start : start + self.sizes[seq]]

    def expected(self, visit: Visit) -> int:
        """The number of measured events that a visit should get."""
        return max(0, visit.last_seq - self.measured_from + 1)


def sessions(rules: SessionRules) -> Iterator[TokenSession]:
    """The sessions of a run, ordered by start; sessions without an event before the end are left out."""
    arrivals = random.Random(rules.seed)
    at_s, number, visits = 0.0, 0, 0
    while True:
        at_s = round(at_s + arrivals.expovariate(rules.arrivals_hz), 6)
        begins_ns = int(at_s * 1_000_000) * 1_000
        if begins_ns > rules.end_ns - int(SHORTEST_S * NS_PER_S):
            return
        session = _session(rules, number, begins_ns, visits)
        yield session
        number += 1
        visits += len(session.visits)


def _session(rules: SessionRules, number: int, begins_ns: int, first_visit: int) -> TokenSession:
    rng = random.Random(f"{rules.seed}-{number}")
    life_ns = int(_lifetime_s(rules.lifetime_s, rng.random()) * NS_PER_S)
    end_ns = min(begins_ns + life_ns, rules.end_ns) - 1
    rate_hz = round(rng.uniform(*rules.rate_hz), 3)
    first_ns = begins_ns + int(rng.uniform(*FIRST_EVENT_S) * 1_000_000) * 1_000
    due_ns = array("q")
    while first_ns < end_ns:
        draw = rng.getrandbits(32)
        size = draw % MOST_AT_ONCE + 1
        due_ns.extend([first_ns] * size)
        # From 0.5x to 1.5x the time that this number of events takes at this rate.
        first_ns += int(size * NS_PER_S / rate_hz * (0.5 + (draw >> 8) / (1 << 24)))
    due_ns.append(end_ns)
    least, most = rules.payload_bytes
    sizes = array("i", (least + byte * (most - least + 1) // 256 for byte in rng.randbytes(len(due_ns))))
    sizes[-1] = len(END_MARKER)
    measured_from = next((seq for seq, due in enumerate(due_ns) if due >= rules.warmup_ns), len(due_ns))
    visits = tuple(_visits(rules, rng, begins_ns, due_ns, first_visit))
    return TokenSession(number, begins_ns, due_ns, sizes, measured_from, visits)


def _visits(rules: SessionRules, rng: random.Random, begins_ns: int, due_ns: array[int], first: int) -> Iterator[Visit]:
    """Draw all numbers of each visit, used or not, so that another share changes no other visit."""
    last = len(due_ns) - 1
    second_tab = rng.random() < rules.second_tab
    for tab in range(rules.clients + second_tab):
        late_draw, moves_draw, leaves_draw = rng.random(), rng.random(), rng.random()
        opens_at, moves_at, leaves_at = (rng.uniform(0.2, 0.8) for _ in range(3))
        late = tab == rules.clients or late_draw < rules.late_join
        opens_ns = due_ns[int(opens_at * last)] if late else begins_ns
        last_seq = int((0.5 + leaves_at / 2) * last) if leaves_draw < rules.leave_early else last
        moves_after = min(int(moves_at * last), last_seq - 1) if moves_draw < rules.resume else -1
        number = first + tab
        yield Visit(number, opens_ns, late, number, last_seq, max(-1, moves_after))


class PlannedVisit(NamedTuple):
    """Each visit and its session, ordered by opening."""

    opens_ns: int
    number: int
    visit: Visit
    session: TokenSession


def visits(rules: SessionRules) -> Iterator[PlannedVisit]:
    """All visits, ordered by opening."""
    waiting: list[PlannedVisit] = []
    for session in sessions(rules):
        while waiting and waiting[0].opens_ns <= session.begins_ns:
            yield heapq.heappop(waiting)
        for visit in session.visits:
            heapq.heappush(waiting, PlannedVisit(visit.opens_ns, visit.number, visit, session))
    while waiting:
        yield heapq.heappop(waiting)


def expected_deliveries(rules: SessionRules) -> int:
    """The number of measured events that all visits should get in total."""
    return sum(session.expected(visit) for session in sessions(rules) for visit in session.visits)
