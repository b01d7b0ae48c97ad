"""The measurement with workers: the master hands out the seats and collects from every worker ever seen.

docs/decisions/0008-locust-workers.md describes the protocol. Locust's runner is passed in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from core.contracts.codec import Document
from core.contracts.load_orders import LoadOrder
from core.contracts.load_status import LoadStatus
from load.channel import Channel
from load.measurement import AHEAD_NS, CollectedResult, Target
from load.members import Member, Members
from load.messages import (
    Began,
    Begin,
    ClientOrder,
    Drain,
    Freeze,
    HandOver,
    Leaving,
    MeasureFrom,
    Measuring,
    Saw,
    SeatsGiven,
    SeatsReturned,
    SeatsWanted,
    WorkerStatus,
    bounds_of,
    horizon_from,
)
from load.order_clock import OrderClock
from load.seats import SeatPool
from load.totals import Totals
from load.worker_result import WorkerResult
from load.worker_roster import CanReach, WorkerRoster

POLL_S = 0.02
ANSWER_DEADLINE_S = 10.0
GRACE_S = 1.0
"""A worker that must end is asked to continue for this long: a Ctrl-C also ends the master, which then wants totals."""

log = logging.getLogger("fanbench.load")


class MasterMeasurement:
    """The master's end."""

    def __init__(self, runner: Any, target: Target, can_reach: CanReach, networks: Mapping[str, str]) -> None:
        self._workers = WorkerRoster(runner, can_reach, networks)
        self._target = target
        self._channel = Channel(runner)
        self._begin: Begin | None = None
        self._pool = SeatPool()
        self._members = Members()
        self._problems: list[str] = []
        self._running = False
        self._collecting = False
        self._ahead_ns = AHEAD_NS
        self._clock = OrderClock()
        self._about(Began, self._on_began)
        self._about(SeatsWanted, self._on_wanted)
        self._about(SeatsReturned, self._on_returned)
        self._about(Measuring, self._on_measuring)
        self._about(WorkerStatus, self._on_status)
        self._about(Saw, self._on_saw)
        self._about(Leaving, self._on_leaving, apart=True)
        self._about(Totals, self._on_totals)
        runner.environment.events.worker_connect.add_listener(self._on_connect)

    def _about(self, kind: type[Any], listener: Callable[[str, Member, Any], None], *, apart: bool = False) -> None:
        """Listen for messages about the current test from workers that take part in it."""

        def heard(worker: str, message: Any) -> None:
            member = self._members.by_name.get(worker)
            if member is not None and self._begin is not None and message.test == self._begin.test:
                listener(worker, member, message)

        self._channel.listen(kind, heard, apart=apart)

    def begin(self, begin: Begin) -> list[str]:
        """Start a test: every worker prepares before Locust sends it users."""
        self._begin = begin
        self._pool = SeatPool()
        self._problems = []
        self._running = self._collecting = False
        workers = self._workers.names()
        self._members = Members()
        if begin.endpoint is None:
            self._clock.start(begin.replicas)
        for worker in workers:
            each = -(-begin.clients // len(workers))
            self._invite(worker, each, each * self._workers.beside(worker))
        self._await(lambda member: member.began is not None, ANSWER_DEADLINE_S)
        self._running = True
        return self._members.why_not_begun(ANSWER_DEADLINE_S)

    def _invite(self, worker: str, clients: int, beside: int = 0) -> None:
        assert self._begin is not None
        self._members.by_name[worker] = Member(measure_from_ns=self._begin.measure_from_ns)
        self._channel.send(self._begin.changed(clients=clients, beside=beside), worker)

    def _on_connect(self, client_id: str, **_: Any) -> None:
        """A worker has connected, and Locust does not know it yet: messages sent now reach it before its users start."""
        if self._begin is not None and not self._collecting and client_id not in self._members.by_name:
            self._invite(client_id, 0)

    def _on_began(self, worker: str, member: Member, began: Began) -> None:
        member.began = began
        if began.problem and self._running:  # it came late, so that the test continues with the others
            self._note(f"worker {worker} cannot begin: {began.problem}")
            member.gone = True
            self._workers.dismiss(worker)

    def _note(self, problem: str) -> None:
        log.error("%s", problem)
        self._problems.append(problem)

    def _on_wanted(self, worker: str, _: Member, wanted: SeatsWanted) -> None:
        self._pool.ask(worker, wanted.count)
        self._deal()

    def _on_returned(self, worker: str, _: Member, returned: SeatsReturned) -> None:
        self._pool.give_back(worker, returned.numbers)
        self._deal()

    def _deal(self) -> None:
        if self._begin is None or self._collecting:
            return
        for grant in self._pool.deal(self._target()):
            self._members.by_name[grant.holder].had_seats = True
            self._send(grant.holder, SeatsGiven(test=self._test(), numbers=tuple(grant.numbers)))

    def _on_status(self, _: str, member: Member, told: WorkerStatus) -> None:
        member.status, member.usage = told.status, told.usage

    def _on_saw(self, _: str, member: Member, saw: Saw) -> None:
        member.saw = horizon_from(saw.bounds)

    def _on_leaving(self, worker: str, member: Member, _: Leaving) -> None:
        gevent.sleep(GRACE_S)
        if not self._collecting and member.result is None:
            self._send(worker, HandOver(test=self._test()))

    def _on_totals(self, worker: str, member: Member, totals: Totals) -> None:
        if member.result is None:
            of_now = self._begin is not None and totals.measure_from_ns == self._begin.measure_from_ns
            member.result = totals.result() if of_now else WorkerResult()
        if not self._collecting:
            self._part_with(worker, member)

    def _part_with(self, worker: str, member: Member) -> None:
        member.gone = True
        self._pool.forget(worker)
        self._deal()

    def tick(self) -> None:
        """Detect lost workers, and have Locust give their users to the others."""
        self._workers.look_for_lost()
        for worker, member in self._members.by_name.items():
            if not member.gone and not self._workers.has(worker):
                self._part_with(worker, member)
        if self._running and not self._collecting:
            self._deal()
            self._workers.rebalance()

    def status(self) -> LoadStatus:
        """The sums over the present workers, plus the deliveries of those that have left."""
        status = self._members.status(self._begin.measure_from_ns if self._begin is not None else None)
        return status.model_copy(update={"joined": len(self._workers.names())})

    def obey(self, order: LoadOrder) -> None:
        """Forward the order to every worker."""
        mark = self._clock.mark()
        for worker in self._members.there():
            self._send(worker, ClientOrder(test=self._test(), order=order, clients=self._target(), clock=mark))

    def measure_from(self, at_ns: int) -> None:
        """Make every worker discard its measurements; events due from that instant on count."""
        if self._begin is not None:
            self._ahead_ns = AHEAD_NS
            self._order_to_measure(at_ns)

    def _order_to_measure(self, at_ns: int) -> None:
        assert self._begin is not None
        self._begin = self._begin.changed(measure_from_ns=at_ns)
        for member in self._members.by_name.values():
            member.had_seats = member.had_seats and not member.gone
            if member.result is not None:
                member.result = WorkerResult()
        for worker in self._members.there():
            self._send(worker, MeasureFrom(test=self._test(), at_ns=at_ns))

    def _on_measuring(self, worker: str, member: Member, told: Measuring) -> None:
        """A worker has restarted its measurement; if later than the others, all restart together."""
        assert self._begin is not None
        if told.asked_ns != self._begin.measure_from_ns:
            return
        member.measures(told.asked_ns)
        if told.from_ns == told.asked_ns:
            return
        if self._collecting:
            self._note(
                f"worker {worker} began to measure {(told.from_ns - told.asked_ns) / 1e9:.1f} s after the others, "
                "just before the end: its clients' deliveries until then are missing; run longer"
            )
            return
        self._ahead_ns *= 2
        self._order_to_measure(max(time.time_ns(), told.from_ns) + self._ahead_ns)

    def collect(self, drain_s: float) -> CollectedResult:
        """End the measurement on all workers; missing totals of lost workers are a problem."""
        if self._begin is None:
            return CollectedResult()
        self._collecting = True
        self._clock.stop()
        begin = self._begin
        self._await(lambda member: member.measure_from_ns == begin.measure_from_ns, ANSWER_DEADLINE_S)
        self._ask(Freeze(test=self._test()))
        self._await(lambda member: member.saw is not None or member.result is not None, ANSWER_DEADLINE_S)
        for member in self._members.by_name.values():
            # The horizon lacks what this worker's clients saw, so do not wait for the worker again.
            member.gone = member.gone or (member.saw is None and member.result is None)
        self._ask(Drain(test=self._test(), bounds=bounds_of(self._members.horizon()), drain_s=drain_s))
        self._await(lambda member: member.result is not None, drain_s + ANSWER_DEADLINE_S)
        self._begin = None
        return CollectedResult(self._members.total(), (*self._problems, *self._members.without_totals()))

    def _ask(self, message: Document) -> None:
        for worker in self._members.there():
            if self._members.by_name[worker].result is None:
                self._send(worker, message)

    def _send(self, worker: str, message: Document) -> None:
        if self._workers.has(worker):
            self._channel.send(message, worker)

    def _test(self) -> int:
        assert self._begin is not None
        return self._begin.test

    def _await(self, answered: Callable[[Member], bool], deadline_s: float) -> None:
        """Wait for the answer of every present worker, at most this long."""
        waited_s = 0.0
        while waited_s < deadline_s:
            self.tick()
            if all(answered(self._members.by_name[worker]) for worker in self._members.there()):
                return
            gevent.sleep(POLL_S)
            waited_s += POLL_S
