"""How several Locust processes measure as one: the master gives each worker its share and, at the end, one horizon.

Messages, over Locust's own connection: `fanbench-share` gives a worker its rank; `fanbench-status` goes up five times
a second; `fanbench-freeze` asks what the worker's clients saw, `fanbench-seen` answers; `fanbench-drain` carries what
the clients of all workers saw, so that each can tell what its own still lack; `fanbench-totals` is the answer to that.
Runners are passed in, nothing here imports Locust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent

from load.finalize import finalize
from load.plan import Share
from load.session import Session
from load.worker_result import Horizon, WorkerResult, horizon_from_wire, horizon_of, horizon_to_wire, widest

POLL_S = 0.02
ANSWER_DEADLINE_S = 10.0


def drain(session: Session, horizon: Horizon, drain_s: float) -> WorkerResult:
    """Wait until no client is behind the horizon, at most `drain_s` seconds; then count."""
    waited_s = 0.0
    while waited_s < drain_s and session.behind(horizon):
        gevent.sleep(POLL_S)
        waited_s += POLL_S
    return finalize(session, horizon)


class WorkerLink:
    """The worker's end. `share` is what the master said last."""

    def __init__(self, runner: Any, session: Callable[[], Session | None]) -> None:
        self.share: Share | None = None
        self.done = False
        self._runner = runner
        self._session = session
        runner.register_message("fanbench-share", self._on_share)
        runner.register_message("fanbench-freeze", self._on_freeze)
        runner.register_message("fanbench-drain", self._on_drain, concurrent=True)

    def _on_share(self, msg: Any, **_: Any) -> None:
        self.share = Share(*msg.data)
        self.done = False

    def _on_freeze(self, **_: Any) -> None:
        session = self._session()
        seen = horizon_to_wire(horizon_of(session.series)) if session else []
        self._runner.send_message("fanbench-seen", seen)

    def _on_drain(self, msg: Any, **_: Any) -> None:
        rows, drain_s = msg.data
        session = self._session()
        totals = drain(session, horizon_from_wire(rows), drain_s) if session else WorkerResult()
        self._send(totals)

    def _send(self, totals: WorkerResult) -> None:
        self._runner.send_message("fanbench-totals", totals.to_wire())
        self.done = True

    def tell_status(self, status: Counter[str]) -> None:
        """Send the numbers of the moment."""
        self._runner.send_message("fanbench-status", dict(status))

    def finish(self) -> None:
        """The worker ends: give the master a moment to ask for the totals, then send them unasked."""
        session = self._session()
        if session is None or self.done:
            return
        waited_s = 0.0
        while not self.done and waited_s < ANSWER_DEADLINE_S / 2:
            gevent.sleep(POLL_S)
            waited_s += POLL_S
        if not self.done:
            self._send(finalize(session, horizon_of(session.series)))


class MasterLink:
    """The master's end: what the workers said, by worker."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._workers: set[str] = set()
        self._status: dict[str, Counter[str]] = {}
        self._seen: dict[str, Horizon] = {}
        self._totals: dict[str, WorkerResult] = {}
        runner.register_message("fanbench-status", self._on_status)
        runner.register_message("fanbench-seen", self._on_seen)
        runner.register_message("fanbench-totals", self._on_totals)

    def _on_status(self, msg: Any, **_: Any) -> None:
        self._status[msg.node_id] = Counter(msg.data)

    def _on_seen(self, msg: Any, **_: Any) -> None:
        self._seen[msg.node_id] = horizon_from_wire(msg.data)

    def _on_totals(self, msg: Any, **_: Any) -> None:
        self._totals[msg.node_id] = WorkerResult.from_wire(msg.data)

    def deal(self, clients: int) -> None:
        """A test starts: give each worker its share, in the order in which Locust's dispatcher deals out users."""
        self._status.clear()
        self._seen.clear()
        self._totals.clear()
        order = dispatch_order(list(self._runner.clients.keys()))
        self._workers = set(order)
        for rank, worker in enumerate(order):
            self._runner.send_message("fanbench-share", [rank, len(order), clients], client_id=worker)

    def status(self) -> Counter[str]:
        """The workers' numbers together."""
        return sum(self._status.values(), Counter())

    def collect(self, drain_s: float) -> tuple[WorkerResult, list[str]]:
        """End the measurement on all workers: their totals together, and what is missing, in words."""
        self._ask("fanbench-freeze", None)
        self._await(self._seen, ANSWER_DEADLINE_S)
        horizon = widest(self._seen.values())
        self._ask("fanbench-drain", [horizon_to_wire(horizon), drain_s])
        self._await(self._totals, drain_s + ANSWER_DEADLINE_S)
        merged = WorkerResult()
        for totals in self._totals.values():
            merged.add(totals)
        silent = sorted(self._workers - self._totals.keys())
        return merged, [
            f"worker {name} ended without its totals: its clients are missing; run again" for name in silent
        ]

    def _ask(self, kind: str, data: Any) -> None:
        for worker in self._waiting_for(self._totals):
            self._runner.send_message(kind, data, client_id=worker)

    def _waiting_for(self, answers: dict[str, Any]) -> set[str]:
        """The workers that have not answered and still can."""
        return {worker for worker in self._workers - answers.keys() if worker in self._runner.clients}

    def _await(self, answers: dict[str, Any], deadline_s: float) -> None:
        waited_s = 0.0
        while self._waiting_for(answers) and waited_s < deadline_s:
            gevent.sleep(POLL_S)
            waited_s += POLL_S


def dispatch_order(workers: list[str]) -> list[str]:
    """The workers in the order in which Locust hands out users: first of each host, second of each host …

    A worker's name is HOST_HEX; the same order makes the clients' numbers run from 0 without a hole.
    """
    place_on_host: dict[str, int] = {}
    by_host: Counter[str] = Counter()
    for worker in sorted(workers):
        host = worker.split("_")[0]
        place_on_host[worker] = by_host[host]
        by_host[host] += 1
    return sorted(workers, key=lambda worker: (place_on_host[worker], worker))
