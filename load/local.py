"""The measurement in a single Locust process."""

from __future__ import annotations

from collections.abc import Sequence

import gevent

from core.contracts.load_orders import LoadOrder
from core.contracts.load_status import LoadStatus
from load.client_faults import obey
from load.finalize import drain
from load.measurement import CollectedResult, Target
from load.messages import Begin
from load.seats import SeatPool
from load.session import Session
from load.session_factory import SessionFactory
from load.user_places import UserPlaces

_ME = ""


class LocalMeasurement:
    """The process with all clients."""

    def __init__(self, factory: SessionFactory, target: Target) -> None:
        self._factory = factory
        self._target = target
        self._pool = SeatPool()
        self._session: Session | None = None
        self.places = UserPlaces(self._ask, self._give_back, gevent.get_hub().loop.run_callback)

    def _ask(self, count: int) -> None:
        self._pool.ask(_ME, count)
        self._deal()

    def _give_back(self, numbers: Sequence[int]) -> None:
        self._pool.give_back(_ME, numbers)
        self._deal()

    def _deal(self) -> None:
        for grant in self._pool.deal(self._target()):
            self.places.seat(grant.numbers)

    def begin(self, begin: Begin) -> list[str]:
        """Start a test; returns the reason if it cannot start."""
        self._session = None
        self._pool = SeatPool()
        self._session = self._factory.open(begin)
        self.places.open(self._session)
        return []

    def tick(self) -> None:
        """Fold the arrivals, and hand out the seats that a higher target has created."""
        if self._session is not None:
            self._session.tick()
            self._deal()

    def status(self) -> LoadStatus:
        """The current numbers."""
        return self._session.status() if self._session is not None else LoadStatus()

    def obey(self, order: LoadOrder) -> None:
        """Execute the order."""
        if self._session is not None:
            obey(self._session, order, self._target())

    def measure_from(self, at_ns: int) -> None:
        """Discard the measurements; events due from that instant on count."""
        if self._session is not None:
            self._session.measure_from(at_ns)

    def collect(self, drain_s: float) -> CollectedResult:
        """End the measurement."""
        session = self._session
        if session is None:
            return CollectedResult()
        result = drain(session, session.freeze(), drain_s, self.places.users)
        self.places.close()
        return CollectedResult(result)
