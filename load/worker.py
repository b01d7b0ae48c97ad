"""The worker's side: it holds the clients that the master orders, and reports their results.

Locust's environment is passed in.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import psutil

from core.contracts.load_status import WorkerUsage
from core.errors import FanbenchError
from load.channel import Channel
from load.client_faults import obey
from load.finalize import drain, hand_over
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
from load.session import TICK_S, Session
from load.session_factory import SessionFactory
from load.totals import Totals
from load.user_places import UserPlaces
from load.worker_result import WorkerResult

ANSWER_DEADLINE_S = 10.0
POLL_S = 0.02
MASTER_SILENT_S = 15.0
"""Without a heartbeat from its master for this long, a worker ends. Locust itself would wait a minute."""

log = logging.getLogger("fanbench.load")


class Worker:
    """One worker process."""

    def __init__(self, environment: Any, runner: Any, factory: SessionFactory, *, forked: bool) -> None:
        self._runner = runner
        self._environment = environment
        self._factory = factory
        self._channel = Channel(runner)
        self._begin: Begin | None = None
        self._session: Session | None = None
        self._told_totals = True
        self._process = psutil.Process()
        self._parent = os.getppid() if forked else 0
        if forked:  # the master prints the results
            environment.parsed_options.json, environment.parsed_options.json_file = False, None
        self.places = UserPlaces(self._ask, self._give_back, gevent.get_hub().loop.run_callback)
        self._channel.listen(Begin, self._on_begin)
        self._about(SeatsGiven, lambda given: self.places.seat(given.numbers))
        self._about(ClientOrder, self._on_order, apart=True)
        self._about(MeasureFrom, self._on_measure_from)
        self._about(Freeze, self._on_freeze)
        self._about(Drain, self._on_drain, apart=True)
        self._about(HandOver, lambda _: self._leave())
        environment.events.test_stopping.add_listener(lambda **_: self._leave())
        # After Locust's own listener, which would report to the master that this worker has quit: the last added is
        # called first.
        environment.events.init.add_listener(lambda **_: environment.events.quitting.add_listener(self._quit))
        gevent.spawn(self._tick_forever)

    def _about(self, kind: type[Any], listener: Callable[[Any], None], *, apart: bool = False) -> None:
        """Listen for messages about the current test."""

        def heard(_: str, message: Any) -> None:
            if self._begin is not None and message.test == self._begin.test:
                listener(message)

        self._channel.listen(kind, heard, apart=apart)

    def _test(self) -> int:
        assert self._begin is not None
        return self._begin.test

    def _ask(self, count: int) -> None:
        self._channel.send(SeatsWanted(test=self._test(), count=count))

    def _give_back(self, numbers: Sequence[int]) -> None:
        self._channel.send(SeatsReturned(test=self._test(), numbers=tuple(numbers)))

    def _on_begin(self, _: str, begin: Begin) -> None:
        self._begin, self._session, self._told_totals = begin, None, False
        self.places.close()
        problem = ""
        try:
            self._session = self._factory.open(begin)
            self.places.open(self._session)
        except FanbenchError as error:
            problem = str(error)
            log.error("this worker cannot begin: %s", problem)  # noqa: TRY400
        self._channel.send(Began(test=begin.test, problem=problem))

    def _on_order(self, ordered: ClientOrder) -> None:
        if self._session is not None:
            ahead_ns = self._session.clocks.orders_ahead_ns(ordered.clock)
            obey(self._session, ordered.order, ordered.clients, ahead_ns)

    def _on_measure_from(self, message: MeasureFrom) -> None:
        assert self._begin is not None
        self._begin = self._begin.changed(measure_from_ns=message.at_ns)
        from_ns = self._session.measure_from(message.at_ns) if self._session is not None else message.at_ns
        self._channel.send(Measuring(test=self._test(), asked_ns=message.at_ns, from_ns=from_ns))

    def _on_freeze(self, _: Freeze) -> None:
        seen = self._session.freeze() if self._session is not None else {}
        self._channel.send(Saw(test=self._test(), bounds=bounds_of(seen)))

    def _on_drain(self, wanted: Drain) -> None:
        result = WorkerResult()
        if self._session is not None:
            result = drain(self._session, horizon_from(wanted.bounds), wanted.drain_s, self.places.users)
        result.tally.users = self.places.users
        self._tell_totals(result)

    def _tell_totals(self, result: WorkerResult) -> None:
        """Send the totals, once for each test; later events do not count."""
        if self._told_totals or self._begin is None:
            return
        self._told_totals = True
        self.places.close()
        self._runner._send_stats()  # so that Locust's table is complete, too, when the master has the totals
        self._channel.send(Totals.of(self._begin.test, self._begin.measure_from_ns, result))

    def _leave(self) -> None:
        """The worker leaves a test that continues, or that the master has ended without asking."""
        if not self._told_totals:
            self._tell_totals(hand_over(self._session) if self._session is not None else WorkerResult())

    def _quit(self, **_: Any) -> None:
        """Handle the order to end: the master says whether the whole test ends, or only this worker's part."""
        self._environment.process_exit_code = 0 if self._environment.process_exit_code is None else 1
        if self._told_totals or self._begin is None:
            return
        self._channel.send(Leaving(test=self._begin.test))
        waited_s = 0.0
        while not self._told_totals and waited_s < ANSWER_DEADLINE_S:
            gevent.sleep(POLL_S)
            waited_s += POLL_S
        self._leave()

    def _tick_forever(self) -> None:
        heard: float | None = None
        silent_s = 0.0
        while True:
            gevent.sleep(TICK_S)
            # Counted by this loop's waits, so that a delayed worker reads its messages first.
            last = self._runner.last_heartbeat_timestamp
            silent_s, heard = (silent_s + TICK_S, heard) if last == heard else (0.0, last)
            self._require_master(silent_s)
            if self._session is not None and not self._told_totals:
                self._session.tick()
                told = WorkerStatus(test=self._test(), status=self._session.status(), usage=self._usage())
                self._channel.send(told)

    def _usage(self) -> WorkerUsage:
        return WorkerUsage(
            name=self._runner.client_id,
            cpu_s=time.process_time(),
            rss_bytes=self._process.memory_info().rss,
            at_s=time.monotonic(),
        )

    def _require_master(self, silent_s: float) -> None:
        """End with the master: without it, nobody stops these clients or collects their results."""
        if self._parent and os.getppid() != self._parent:
            reason = "its master has ended"
        elif silent_s > MASTER_SILENT_S:
            reason = f"its master has not been heard for {MASTER_SILENT_S:g} s"
        else:
            return
        log.error("this worker ends: %s", reason)
        logging.shutdown()
        os._exit(1)  # Locust's own end would wait for the master to take its last messages
