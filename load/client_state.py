"""One client's state: its tracks, whether it is connected, and the counts of the whole run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from core.contracts.load_result import Cause
from load.frames import Event, Foreign, GapFrame, Item, StreamEnd, Times
from load.ledger import Delivery, Series, Track
from load.reasons import Reasons
from load.recovery import Recovery
from load.visit_progress import VisitProgress

DISARMED = Track(None)
"""No event belongs to this track: a client in it takes the slow path with every read."""


class InstantsOfEvents(Protocol):
    """An event's instants by this process's clock."""

    def due_ns(self, event: Event) -> int: ...

    def received_ns(self, event: Event) -> int: ...


class OneClock:
    """All processes have this one's clock."""

    def due_ns(self, event: Event) -> int:
        """As it is."""
        return event.due_ns

    def received_ns(self, event: Event) -> int:
        """As it is."""
        return event.received_ns


@dataclass(slots=True)
class Counters:
    """Counters over all clients of this process. Event counters count only phase `measure`."""

    connected: int = 0
    """Clients connected now."""
    reached: int = 0
    """Clients that got an event, of either phase, on their current connection."""
    duplicated: int = 0
    reordered: int = 0
    replayed: int = 0
    """Deliveries of events from before the client's return: recovered by resuming."""
    gaps: int = 0
    reconnects: int = 0
    resting: int = 0
    """Clients that are disconnected on purpose: stopped, or between two answers."""
    foreign: Reasons = field(default_factory=Reasons)
    """Events that are not fanbench's, or of a topic that was not requested, by reason."""
    disconnects: Reasons = field(default_factory=Reasons)
    """Streams that ended unexpectedly, by reason."""
    refused: Reasons = field(default_factory=Reasons)
    """Attempts to connect that failed, by reason."""
    downtimes_ns: list[int] = field(default_factory=list)
    """How long clients were disconnected, since the last tick."""
    clocks: InstantsOfEvents = field(default_factory=OneClock)

    def restart(self) -> None:
        """Count from zero; the numbers of connected, resting and reached clients stay."""
        self.duplicated = self.reordered = self.replayed = self.gaps = self.reconnects = 0
        self.foreign, self.disconnects, self.refused = Reasons(), Reasons(), Reasons()


class StreamState(Protocol):
    """The owner of a reader: a client with its ledger, or a stream of a locustfile's user."""

    topic: str
    start_id: str
    connected: bool
    recovery: Recovery | None

    def opened(self, began_ns: int, now_ns: int) -> None:
        """It is connected; the attempt started at `began_ns`."""

    def closed(self, now_ns: int) -> None:
        """Note that the connection is lost."""

    def rest(self, resting: bool) -> None:
        """Whether it is disconnected on purpose."""

    def take(self, items: tuple[Item, ...], now_ns: int, track: Track) -> Track:
        """Process the events of one read; return the next track, or DISARMED."""


class ClientState:
    """One client's side of the ledger."""

    __slots__ = (
        "_any_topic", "_counters", "_down_ns", "_reached", "_resting", "_resumed_ns", "_tracks", "aside", "connected", "opened_once",
        "recovery", "start_id", "topic", "visit",
    )  # fmt: skip

    def __init__(self, topic: str, counters: Counters, start_id: str = "", *, any_topic: bool = False) -> None:
        self.topic = topic
        self._any_topic = any_topic  # the request named none
        self.start_id = start_id
        """The id that it sends before its first event."""
        self.visit: VisitProgress | None = None
        """Its session, if any: its events are then checked one by one."""
        self.connected = False
        self.opened_once = False
        self.aside = False
        """Whether a fault affects this client: its deliveries are distinguished from the bystanders' from then on."""
        self.recovery: Recovery | None = None
        self._counters = counters
        self._tracks: dict[Series, Track] = {}
        self._reached = False
        self._resting = False
        self._resumed_ns = 0
        self._down_ns = 0

    @property
    def tracks(self) -> dict[Series, Track]:
        """What the client received, for each series."""
        return self._tracks

    def opened(self, began_ns: int, now_ns: int) -> None:
        """The client is connected; the attempt started at `began_ns`."""
        self.connected = True
        self._counters.connected += 1
        if self.opened_once and not self._resting:
            self._resumed_ns = began_ns
            self._counters.reconnects += 1
            self._counters.downtimes_ns.append(now_ns - self._down_ns)
        self.opened_once = True
        self.rest(False)

    def rest(self, resting: bool) -> None:
        """Record that the client is disconnected on purpose, or that this has ended."""
        self._counters.resting += resting - self._resting
        self._resting = resting

    def closed(self, now_ns: int) -> None:
        """The client is disconnected; events that it misses until it returns are charged to this."""
        self.connected = False
        self._down_ns = now_ns
        self._counters.connected -= 1
        self._counters.reached -= self._reached
        self._reached = False
        for track in self._tracks.values():
            track.expect(Cause.CONNECTION)

    def take(self, items: tuple[Item, ...], now_ns: int, track: Track) -> Track:
        """Record the events of one read for a client in this track; returns the next track, or DISARMED."""
        for item in items:
            if isinstance(item, Event) and item.series is track.series and item.seq == track.next_seq:
                track.next_seq = item.next_seq  # as in the reader's hot path: reads hold several events under pressure
                item.arrived(now_ns)
            elif isinstance(item, Event):
                track = self._event(item, now_ns, track)
            elif isinstance(item, GapFrame):
                self._gap(item)
                track = DISARMED
            elif not isinstance(item, StreamEnd):
                self._foreign(item)
        return track

    def _event(self, event: Event, now_ns: int, track: Track) -> Track:
        series = event.series
        if event.seq < 0:
            return self._unidentified(event, now_ns, track)
        if self.visit is not None and self.visit.beyond(event.seq):
            return DISARMED
        found = self._tracks.get(series)
        if found is None:
            if series.topic != self.topic and not self._any_topic:
                self._foreign(Foreign(f"topic {series.topic[:40]}, which was not requested"))
                return DISARMED
            found = self._tracks[series] = Track(series)
        verdict = found.take(event.seq)
        if verdict is Delivery.DOUBLE:
            self._counters.duplicated += event.measured
            if self.visit is not None:
                self.visit.doubled += 1
        else:
            event.arrive(now_ns, self.aside)
            self._counters.reordered += event.measured and verdict is Delivery.LATE
            if self.visit is not None:
                self.visit.note(event, now_ns)
        self._hear(event, now_ns)
        return self._after(event, found, verdict)

    def _unidentified(self, event: Event, now_ns: int, track: Track) -> Track:
        """Events cannot be told apart: each is the next in its track."""
        event.arrive(now_ns, self.aside)
        self._hear(event, now_ns)
        watched = self.aside or (self.recovery is not None and self.recovery.waiting)
        return DISARMED if watched else track if track.series is event.series else Track(event.series)

    def _hear(self, event: Event, now_ns: int) -> None:
        if not self._reached:
            self._reached = True
            self._counters.reached += 1
        if self.recovery is not None and self.recovery.waiting:
            self.recovery.note(self._counters.clocks.due_ns(event), now_ns)

    def _after(self, event: Event, track: Track, verdict: Delivery) -> Track:
        if (
            self._resumed_ns
            and event.times is Times.ALL
            and self._counters.clocks.received_ns(event) < self._resumed_ns
        ):
            self._counters.replayed += event.measured and verdict is not Delivery.DOUBLE
            return DISARMED
        watched = self.aside or self.visit is not None or (self.recovery is not None and self.recovery.waiting)
        return DISARMED if watched else track

    def _gap(self, gap: GapFrame) -> None:
        self._counters.gaps += 1
        if gap.topic is None or gap.topic == self.topic:
            for track in self._tracks.values():
                track.expect(Cause.GAP)
            if self.visit is not None and not self._tracks:
                self.visit.told_gap = True

    def _foreign(self, foreign: Foreign) -> None:
        self._counters.foreign[foreign.reason] += 1
