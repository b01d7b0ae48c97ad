"""Which event is due when, on which topic: from the settings' topics or from sessions.

A pure value, like its schedules.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from core.contracts.session_rules import NS_PER_S, SessionRules
from core.scenario import TopicOrder
from core.stamp import Phase
from core.token_sessions import TokenSession, sessions
from generator.schedule import Schedule
from generator.share import WHOLE, Share


class DueEvent(NamedTuple):
    """An event and its instant, in nanoseconds from the start of the schedule."""

    offset_ns: int
    phase: Phase
    topic: str
    content: bytes | None
    """The content of a session's event; None if it does not matter."""


def plan_topics(schedule: Schedule, topics: Iterator[str], warmup_s: float, duration_s: float) -> Iterator[DueEvent]:
    """One of the topics for each instant of the schedule; `duration_s` 0 means endless."""
    warmup_ns = int(warmup_s * NS_PER_S)
    end_ns = warmup_ns + int(duration_s * NS_PER_S) if duration_s else None
    for offset_ns, topic in zip(schedule.until_ns(end_ns), topics, strict=False):  # the topics are endless
        yield DueEvent(offset_ns, "warmup" if offset_ns < warmup_ns else "measure", topic, None)


def in_order(topics: Sequence[str], order: TopicOrder, burst_events: int, seed: int) -> Iterator[str]:
    """The topics in turn, or at random: then the events of a burst go to different ones, if there are enough."""
    if order == "turn":
        yield from itertools.cycle(topics)
    rng = random.Random(seed)
    while True:
        yield from rng.sample(topics, min(burst_events, len(topics)))


def of_topics(events: Iterator[DueEvent], topics: Container[str]) -> Iterator[DueEvent]:
    """The events on these topics."""
    return (event for event in events if event.topic in topics)


def plan_sessions(rules: SessionRules, share: Share = WHOLE) -> Iterator[DueEvent]:
    """The events of all sessions of the share in the order in which they are due."""
    live: list[tuple[int, int, int, TokenSession]] = []  # due, session, seq
    coming = (one for one in sessions(rules) if share.holds(one.number))
    session = next(coming, None)
    while live or session is not None:
        while session is not None and (not live or session.begins_ns <= live[0][0]):
            heapq.heappush(live, (session.due_ns[0], session.number, 0, session))
            session = next(coming, None)
        due_ns, number, seq, one = live[0]
        phase: Phase = "warmup" if due_ns < rules.warmup_ns else "measure"
        yield DueEvent(due_ns, phase, one.topic, one.payload(seq))
        if seq < one.last_seq:
            heapq.heapreplace(live, (one.due_ns[seq + 1], number, seq + 1, one))
        else:
            heapq.heappop(live)
