"""One measurement in one process: its clients, their ledger, the tick that folds arrivals, and its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from time import time_ns
from typing import Any, NamedTuple

from core.contracts.load_status import LoadStatus
from core.contracts.session_rules import SessionRules
from core.histogram import Histogram
from load.client_state import ClientState, Counters
from load.clock_correction import ClockCorrection
from load.clock_probes import Probes
from load.connect_throttle import CONNECT_TIMEOUT_S, ConnectThrottle
from load.connection_pool import ConnectionPool, ReplicaAddress
from load.dialect_events import DialectEvents
from load.endpoint_access import EndpointAccess
from load.frames import SeriesRegistry
from load.latency_recorder import Folded, LatencyRecorder, rehearse
from load.ledger import Series
from load.plan import Seat, Seating
from load.reader import StreamReader
from load.recovery import NOTICED_NS, Recovery
from load.source_addresses import SourceAddresses
from load.transport import SSE, Transport
from load.visits import Visitor, Visits
from load.worker_result import Horizon, SeriesKey, horizon_of

TICK_S = 0.2


class SeatedClient:
    """A seat, its client's state, and the reader that feeds it."""

    __slots__ = ("reader", "seat", "state")

    def __init__(self, seat: Seat, state: ClientState, reader: StreamReader) -> None:
        self.seat = seat
        self.state = state
        self.reader = reader


class Attendance(NamedTuple):
    """Sessions instead of permanent topics, and how many users take turns with the visits."""

    rules: SessionRules
    users: int


class Session:
    """The clients of this process from the start of a test to its end; load/finalize.py computes the balance."""

    def __init__(
        self,
        loop: Any,
        addresses: Sequence[ReplicaAddress],
        seating: Seating,
        *,
        transport: Transport = SSE,
        token: str = "",
        on_connect: Callable[[int, str], None],
        on_break: Callable[[str], None],
        on_fold: Callable[[Folded], None],
        measure_from_ns: int = 0,
        compact: bool = False,
        sessions: Attendance | None = None,
        sources: SourceAddresses | None = None,
        access: EndpointAccess | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        rehearse()
        self.counters = Counters()
        self._seating = seating
        self.clocks = ClockCorrection()
        self.clocks.known.without_clock = access is not None  # somebody else's service has no GET /clock
        self.counters.clocks = self.clocks
        self.recorder = LatencyRecorder(self.clocks)
        self.clients: set[SeatedClient] = set()
        self.left: list[SeatedClient] = []
        """Clients that left voluntarily with missing events."""
        self.left_whole = 0
        """Clients that were connected and left voluntarily without missing events."""
        self._ticked_ns = 0
        self.ended_ns = 0
        """When the test ended; until then a client that hears nothing is silent."""
        self.silences_ns: list[int] = []
        """At an endpoint, the longest silence of each client that left."""
        self.received_by_left = 0
        """The deliveries to the clients of `left_whole`."""
        self._registry = SeriesRegistry(measure_from_ns)
        self.access = access
        """The access to an endpoint, if the clients are not at our replicas."""
        self.events = DialectEvents(self._registry, access.endpoint.dialect) if access is not None else None
        """What the events of an endpoint mean."""
        self._connect_ns: list[int] = []
        self._turn_ns: list[int] = []
        self.marked = False
        self.marked_ns = 0
        """When the last fault began."""
        self.published_until_ns = 0
        """When the last event was due, if reported: until then a client that hears nothing is silent."""
        self._on_fold = on_fold
        self._tell_connect = on_connect
        self._pool = ConnectionPool(
            loop=loop,
            addresses=addresses,
            transport=transport,
            registry=self._registry,
            counters=self.counters,
            on_connect=self._connected,
            on_break=on_break,
            on_turn=self._turn_ns.append,
            token=token,
            access=access,
            interpreter=self.events,
            compact=compact,
            apart=sessions is not None,
            leave_from=(sources or SourceAddresses()).bind,
            gate=ConnectThrottle(connect_timeout_s, adapts=access is None or access.endpoint.request.method == "GET"),
        )
        self.probes = Probes(self.clocks.known, self._pool.servers)
        self.visits: Visits | None = None
        if sessions is not None:
            self.visits = Visits(sessions.rules, sessions.users, len(addresses), self, loop)

    @property
    def waiting(self) -> int:
        """Clients that wait for their turn to connect."""
        return self._pool.gate.waiting()

    @property
    def series(self) -> Collection[Series]:
        """The horizon of this process's clients."""
        return self._registry.series.values()

    def _connected(self, took_ns: int, failure: str) -> None:
        if not failure:
            self._connect_ns.append(took_ns)
        self._tell_connect(took_ns, failure)

    def join(self, number: int) -> SeatedClient | Visitor:
        """Seat one more client there, which begins to connect; with sessions, one more user that takes visits."""
        if not self.clocks.known.without_clock:
            self.probes.start(self._pool.addresses)
        if self.visits is not None:
            return self.visits.sit(number)
        seat = self._seating.seat(number)
        any_topic = self.access is not None and not self.access.endpoint.request.names_topic
        return self._connect(seat, ClientState(seat.topic, self.counters, any_topic=any_topic))

    def _connect(self, seat: Seat, state: ClientState) -> SeatedClient:
        client = SeatedClient(seat, state, StreamReader(state, seat.replica, self._pool, seat.number))
        self.clients.add(client)
        client.reader.start()
        return client

    def admit(self, topic: str, user: int, replica: int, state: ClientState) -> SeatedClient:
        """Begin to connect the client of a visit."""
        return self._connect(Seat(user, topic, replica), state)

    def dismiss(self, client: SeatedClient) -> None:
        """Remove the client of a visit; the tally of visits has its result."""
        client.reader.close()
        self.clients.discard(client)

    def leave(self, client: SeatedClient | Visitor) -> None:
        """Remove a client that leaves voluntarily: its missing events are lost, and later events do not count for it."""
        if isinstance(client, Visitor):
            if self.visits is not None:
                self.visits.rise(client.seat.number)
            return
        client.reader.close()
        self.clients.discard(client)
        if client.reader.notes is not None:
            self.silences_ns.append(client.reader.notes.longest_ns)
        tracks = client.state.tracks.values()
        if any(track.missing for track in tracks):
            self.left.append(client)
        elif client.state.opened_once:
            self.left_whole += 1
            self.received_by_left += sum(track.measured() for track in tracks)

    def measure_from(self, at_ns: int) -> int:
        """Discard earlier measurements; events due from that instant on count, or from the later one that is returned."""
        self.tick(hold=False)
        from_ns = self._registry.measure_from(at_ns)
        self.clocks.restart()
        self.recorder = LatencyRecorder(self.clocks)
        self.counters.restart()
        self.left.clear()
        self.left_whole = self.received_by_left = 0
        if self.access is not None:
            self._restart_notes(self.access, from_ns)
        return from_ns

    def _restart_notes(self, access: EndpointAccess, from_ns: int) -> None:
        access.times.restart(from_ns)
        self.silences_ns.clear()
        for client in self.clients:
            if client.reader.notes is not None:
                client.reader.notes.restart(from_ns)

    def freeze(self) -> Horizon:
        """End the test and return what these clients saw. Later events wait for `measure_until`."""
        # Locust's own work at the end blocks the loop, so a silence is certain only up to the last read.
        self.ended_ns = max([self._ticked_ns, *(client.reader.arrival_ns for client in self.clients)])
        self.tick(hold=False)
        self._registry.freeze()
        return horizon_of(self.series)

    def measure_until(self, horizon: Horizon) -> None:
        """Count events up to there, the same for all clients of the run: the generator may continue, and some hear it first."""
        self._registry.measure_until({(key.stream, key.topic): bounds.high_seq for key, bounds in horizon.items()})

    def mark(self, at_ns: int) -> None:
        """A fault begins: from here on watch when each client gets an event again, and how long it hears nothing."""
        self.marked, self.marked_ns = True, at_ns
        for client in self.clients:
            recovery = client.state.recovery = Recovery(at_ns)
            last = client.reader.last_event()
            if last is not None:  # the order was read a little after it was given
                recovery.note(self.clocks.due_ns(last), client.reader.arrival_ns)
            client.reader.disarm()

    def set_aside(self, clients: Iterable[SeatedClient]) -> None:
        """A fault affects these clients: record the others' latency separately."""
        self.tick(hold=False)
        self.recorder.tell_bystanders_apart()
        for client in clients:
            client.state.aside = True
            client.reader.disarm()

    def tick(self, *, hold: bool = True) -> None:
        """Fold the arrivals since the last tick, unless `hold` waits for replicas' clocks; report their latencies in nanoseconds."""
        for feed in self._pool.feeds.values():
            feed.forget()
        self.clocks.look()
        if not (hold and self.probes.waiting()):
            self._fold()
        now_ns = self._ticked_ns = time_ns()
        for histogram, spans_ns in (
            (self.recorder.spans["connect"], self._connect_ns),
            (self.recorder.spans["turn"], self._turn_ns),
            (self.recorder.spans["downtime"], self.counters.downtimes_ns),
        ):
            histogram.record_ns(spans_ns)
            spans_ns.clear()
        if self.access is not None:
            self.access.times.fold(now_ns)
        if self.visits is not None:
            self._fold_visits(self.visits, now_ns)
        self._pool.gate.give_up(now_ns)
        if self.marked:
            for client in self.clients:
                if client.reader.arrival_ns < now_ns - NOTICED_NS:
                    client.reader.disarm()

    def _fold_visits(self, visits: Visits, now_ns: int) -> None:
        visits.tick(now_ns)
        for name, spans_ns in visits.times.by_span().items():
            self.recorder.spans.setdefault(name, Histogram()).record_ns(spans_ns)
            del spans_ns[:]

    def _fold(self) -> None:
        recorder = self.recorder
        before = recorder.deliveries
        latency_ns = recorder.fold(self._registry.harvest())
        count = recorder.deliveries - before
        mean_bytes = recorder.wire_bytes / recorder.sized if recorder.sized else 0.0
        folded = Folded(latency_ns, count - len(latency_ns), round(count * mean_bytes))
        if self.access is not None and time_ns() >= self.access.times.from_ns:
            folded = folded._replace(first_ns=self.access.times.first_ns, gap_ns=self.access.times.gap_ns)
        self._on_fold(folded)

    def status(self) -> LoadStatus:
        """This process's current numbers."""
        counters = self.counters
        return LoadStatus(
            clients=counters.connected,
            connecting=len(self._pool.gate.under_way),
            waiting=self.waiting,
            reached=counters.reached,
            deliveries=self.recorder.deliveries,
            reconnects=counters.reconnects,
            visitors=len(self.visits.present) if self.visits is not None else 0,
        )

    def behind(self, horizon: Horizon) -> int:
        """Return how many clients still miss something at the end of one of their series."""
        return sum(_is_behind(client.state, horizon) for client in self.clients)


def _is_behind(state: ClientState, horizon: Horizon) -> bool:
    for series, track in state.tracks.items():
        bounds = horizon.get(SeriesKey(series.stream, series.topic))
        if bounds is not None and track.behind(bounds.high_seq):
            return True
    return False
