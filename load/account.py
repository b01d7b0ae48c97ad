"""One client's account: its tracks, whether it is connected, and what the run as a whole counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from load.frames import Event, Foreign, GapFrame, Item
from load.ledger import Cause, Series, Track, Verdict

DISARMED = Track(None)
"""No event belongs to it: a client in this track takes the long way with every read."""


@dataclass(slots=True)
class Counters:
    """What is counted over all clients of this process. Only events of phase `measure` count where events do."""

    connected: int = 0
    """Clients connected now."""
    reached: int = 0
    """Clients that got an event, of whatever phase, on the connection they have now."""
    duplicated: int = 0
    reordered: int = 0
    replayed: int = 0
    """Deliveries that a replica had received before the client was back: brought by resuming."""
    gaps: int = 0
    reconnects: int = 0
    foreign: Counter[str] = field(default_factory=Counter)
    """Events that are none of ours, or of a topic that was not asked for, by reason."""
    disconnects: Counter[str] = field(default_factory=Counter)
    """Streams that ended without our doing, by reason."""
    refused: Counter[str] = field(default_factory=Counter)
    """Attempts to connect that failed, by reason."""


class Account:
    """One client's side of the ledger."""

    __slots__ = ("_counters", "_reached", "_tracks", "_up_ns", "connected", "opened_once", "topic")

    def __init__(self, topic: str, counters: Counters) -> None:
        self.topic = topic
        self.connected = False
        self.opened_once = False
        self._counters = counters
        self._tracks: dict[Series, Track] = {}
        self._reached = False
        self._up_ns = 0

    @property
    def tracks(self) -> dict[Series, Track]:
        """What the client got, series by series."""
        return self._tracks

    def opened(self, now_ns: int) -> None:
        """The client is connected; what came to be missing meanwhile is charged to the connection."""
        self.connected = True
        self._up_ns = now_ns
        self._counters.connected += 1
        self._counters.reconnects += self.opened_once
        self.opened_once = True

    def closed(self) -> None:
        """The client's connection is gone."""
        self.connected = False
        self._counters.connected -= 1
        self._counters.reached -= self._reached
        self._reached = False
        for track in self._tracks.values():
            track.expect(Cause.CONNECTION)

    def take(self, items: tuple[Item, ...], now_ns: int) -> Track:
        """Enter what one read brought; the track to be in from here, DISARMED while that is not plain."""
        track = DISARMED
        for item in items:
            if isinstance(item, Event):
                track = self._event(item, now_ns)
            elif isinstance(item, GapFrame):
                self._gap(item)
                track = DISARMED
            else:
                self._foreign(item)
        return track

    def _event(self, event: Event, now_ns: int) -> Track:
        series = event.series
        track = self._tracks.get(series)
        if track is None:
            if series.topic != self.topic:
                self._foreign(Foreign(f"topic {series.topic[:40]}, which was not asked for"))
                return DISARMED
            track = self._tracks[series] = Track(series)
        verdict = track.take(event.seq)
        if verdict is Verdict.DOUBLE:
            self._counters.duplicated += event.measured
        else:
            event.arrived(now_ns)
            self._counters.reordered += event.measured and verdict is Verdict.LATE
        if not self._reached:
            self._reached = True
            self._counters.reached += 1
        if event.received_ns < self._up_ns:
            self._counters.replayed += event.measured and verdict is not Verdict.DOUBLE
            return DISARMED
        return track

    def _gap(self, gap: GapFrame) -> None:
        self._counters.gaps += 1
        if gap.topic is None or gap.topic == self.topic:
            for track in self._tracks.values():
                track.expect(Cause.GAP)

    def _foreign(self, foreign: Foreign) -> None:
        self._counters.foreign[foreign.reason] += 1
