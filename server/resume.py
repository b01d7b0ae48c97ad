"""Decides from a client's last event ids where to resume in each topic's history; docs/server.md explains the rules.

It only reads histories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from core.stamp import parse_id
from core.token_sessions import START_ID
from server.history import History

MAX_IDS = 64
"""The maximum that the page sends; with their topics they fit into a browser's URL."""
MAX_BARE_IDS = 4
"""An id without its topic must be searched in every topic. An EventSource sends one."""
MAX_AHEAD = 10_000
"""How many events a client may be ahead of this replica, which happens when the replica lags behind another one."""


class Told(NamedTuple):
    """A gap that a resuming client gets first, as `event: gap`."""

    topic: str
    cause: str
    lost: int | None


class Position(NamedTuple):
    """Where a client resumes: `cursors` by topic; the last seq that it `has` by topic and stream; gaps to report."""

    cursors: dict[str, int]
    has: dict[str, dict[str, int]]
    gaps: list[Told]


class Given(NamedTuple):
    """The ids that a client sent: for a topic (`TOPIC:STREAM-SEQ`), or for any of its topics, by stream."""

    of_topic: dict[str, dict[str, int]]
    of_any: dict[str, int]
    fault: str
    """What was wrong with the ids; empty if all were valid."""
    from_start: bool = False
    """It has no events yet, and wants each topic from its first event."""


def read_ids(values: Sequence[str], topics: Sequence[str], *, unread: str = "") -> Given | None:
    """The ids that a client sent; None if there are none. `unread` names what looks like an id but was not read."""
    of_topic: dict[str, dict[str, int]] = {}
    of_any: dict[str, int] = {}
    values = [value for value in values if value]
    if values == [START_ID]:
        return Given({}, {}, "", from_start=True)
    fault = f"more than {MAX_IDS} ids" if len(values) > MAX_IDS else ""
    known = frozenset(topics)
    for value in values[:MAX_IDS]:
        topic, colon, text = value.rpartition(":")
        found = parse_id(text)
        if found is None or (colon and topic not in known):
            fault = "malformed id"
            continue
        stream, seq = found
        seqs = of_topic.setdefault(topic or topics[0], {}) if colon or len(topics) == 1 else of_any
        if seqs is of_any and len(of_any) >= MAX_BARE_IDS and stream not in of_any:
            fault = f"more than {MAX_BARE_IDS} ids without their topic"
            continue
        seqs[stream] = min(seq, seqs.get(stream, seq))  # the earlier of two: duplicates are better than losses
    if not values and unread:
        fault = f"'{unread:.40}' is not read as an id (send Last-Event-ID, or ?last_event_id=)"
    return Given(of_topic, of_any, fault) if values or unread else None


def resume(given: Given | None, histories: Mapping[str, History], overlap_ns: int) -> Position:
    """Where a client of these topics resumes: without an id, at the next event."""
    if given is None:
        return Position({topic: history.end for topic, history in histories.items()}, {}, [])
    position = Position({}, {}, [])
    if given.from_start:
        for topic, history in histories.items():
            _begin_at_start(topic, history, position)
        return position
    anchor_ns = _anchor(given, histories)
    for topic, history in histories.items():
        seqs = given.of_topic.get(topic)
        if seqs:
            _resume_exactly(topic, history, seqs, overlap_ns, position)
        elif anchor_ns is not None:
            _resume_by_time(topic, history, anchor_ns, overlap_ns, position)
        else:
            position.gaps.append(Told(topic, f"{given.fault or 'unknown id'}; the held events follow", None))
            position.cursors[topic] = history.start
    return position


def is_placed(given: Given, histories: Mapping[str, History]) -> bool:
    """Whether its position is known before all history has arrived: the topics' start, or after a held id of each."""
    if given.from_start:
        return True
    return bool(given.of_topic) and all(
        topic in given.of_topic
        and all(
            (span := history.spans.get(stream)) is not None and span.floor <= seq <= span.last
            for stream, seq in given.of_topic[topic].items()
        )
        for topic, history in histories.items()
    )


def _begin_at_start(topic: str, history: History, position: Position) -> None:
    """From the first held event, with a gap if it is not the first of its stream: seqs begin at 0."""
    lacking = sum(span.floor + 1 for span in history.spans.values())
    if lacking:
        position.gaps.append(Told(topic, "history does not reach back to the start", lacking))
    position.cursors[topic] = history.start


def _resume_exactly(topic: str, history: History, seqs: Mapping[str, int], overlap_ns: int, position: Position) -> None:
    """Resume after the given ids of this topic; streams that they do not name are repeated from `overlap_ns` before."""
    start = history.end
    others = set(history.spans) - set(seqs)
    for stream, seq in seqs.items():
        span = history.spans.get(stream)
        if span is None or seq > span.last + MAX_AHEAD:
            position.gaps.append(Told(topic, "unknown id; the held events follow", None))
            start = history.start
            if (
                not history.spans and seq <= MAX_AHEAD
            ):  # no event has come here yet, and those that it has may still come
                position.has.setdefault(topic, {})[stream] = seq
            continue
        position.has.setdefault(topic, {})[stream] = seq
        if seq < span.floor:
            position.gaps.append(Told(topic, "history does not reach back that far", span.floor - seq))
            start = history.start
            continue
        start = min(start, history.after(stream, seq))
        if others:
            frame = history.find(stream, min(seq, span.last))
            start = min(start, history.since(frame.sent_ns - overlap_ns) if frame else history.start)
    position.cursors[topic] = max(start, history.start)


def _anchor(given: Given, histories: Mapping[str, History]) -> int | None:
    """When the client was last up to date, by the generators' clocks: the earliest moment that its ids allow."""
    moments: list[int] = []
    for topic, history in histories.items():
        for stream, seq in [*given.of_topic.get(topic, {}).items(), *given.of_any.items()]:
            frame = history.find(stream, seq)
            if frame is not None:
                moments.append(frame.sent_ns)
    return min(moments, default=None)


def _resume_by_time(topic: str, history: History, anchor_ns: int, overlap_ns: int, position: Position) -> None:
    """Resume `overlap_ns` before the moment when the client was up to date with another of its topics."""
    if history.complete_since_ns > anchor_ns:
        position.gaps.append(Told(topic, "history does not reach back that far", None))
    position.cursors[topic] = max(history.start, history.since(anchor_ns - overlap_ns))
