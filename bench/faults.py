"""Breaks what a scenario says, when it says so, and mends it again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from functools import partial

from bench.procs import get_json, poll
from bench.stage import Stage
from core.errors import FanbenchError
from core.fault import Fault, FaultKind

REPLICA_READY_S = 20.0
Undo = Callable[[], None]


def _nothing() -> None:
    """What ends by itself needs no undoing."""


def _broker_kill(stage: Stage, _fault: Fault) -> Undo:
    running = stage.broker.running
    assert running is not None
    running.kill()
    return running.start_again


def _broker_stop(stage: Stage, _fault: Fault) -> Undo:
    running = stage.broker.running
    assert running is not None
    assert running.child is not None
    running.child.send_signal(signal.SIGSTOP)
    return partial(running.child.send_signal, signal.SIGCONT)


def _link_cut(stage: Stage, _fault: Fault) -> Undo:
    stage.links[0].cut()
    return stage.links[0].restore


def _link_delay(stage: Stage, fault: Fault) -> Undo:
    stage.links[0].delay(fault.delay_ms / 1000)
    return stage.links[0].restore


def _link_stall(stage: Stage, _fault: Fault) -> Undo:
    stage.links[0].stall()
    return stage.links[0].restore


def _generator_cut(stage: Stage, _fault: Fault) -> Undo:
    assert stage.generator_link is not None
    stage.generator_link.cut()
    return stage.generator_link.restore


def _replica_kill(stage: Stage, _fault: Fault) -> Undo:
    stage.replicas[0].child.kill()
    return partial(_start_again, stage, 0)


def _replica_restart(stage: Stage, _fault: Fault) -> Undo:
    for place, replica in enumerate(stage.replicas):
        replica.child.stop(grace_s=5.0)
        _start_again(stage, place)
    return _nothing


def _start_again(stage: Stage, place: int) -> None:
    replica = stage.replicas[place]
    replica.start_again()
    stage.children.add(replica.child)
    ready = partial(get_json, f"{replica.url}/readyz")
    poll(f"{replica.name} ready again", REPLICA_READY_S, ready, [replica.child])


def _clients_stall(stage: Stage, fault: Fault) -> Undo:
    stage.load.tell(do="stall", share=fault.share_of_clients, for_s=fault.for_s)
    return _nothing


def _clients_cut(stage: Stage, fault: Fault) -> Undo:
    stage.load.tell(do="cut", share=fault.share_of_clients)
    return _nothing


def _clients_churn(stage: Stage, fault: Fault) -> Undo:
    stage.load.tell(do="churn", share=fault.share_of_clients, for_s=fault.for_s)
    return _nothing


_BREAK: dict[FaultKind, Callable[[Stage, Fault], Undo]] = {
    "broker-kill": _broker_kill,
    "broker-stop": _broker_stop,
    "link-cut": _link_cut,
    "link-delay": _link_delay,
    "link-stall": _link_stall,
    "generator-cut": _generator_cut,
    "replica-kill": _replica_kill,
    "replica-restart": _replica_restart,
    "clients-stall": _clients_stall,
    "clients-cut": _clients_cut,
    "clients-churn": _clients_churn,
}


def require_possible(faults: Sequence[Fault], stage: Stage) -> None:
    """Raise FanbenchError if a fault has nothing to break here."""
    for fault in faults:
        if fault.needs_broker and stage.broker.running is None:
            raise FanbenchError(
                f"{fault.kind}: {stage.contender.name} has no broker program of ours to break; leave it out"
            )


class Timeline:
    """The faults of one run: call `step` often with the seconds since the measured phase began."""

    def __init__(self, faults: Sequence[Fault], stage: Stage) -> None:
        self._stage = stage
        duration_s = stage.scenario.duration_s
        self._to_begin = sorted(
            ((at_s, fault) for fault in faults for at_s in fault.times_s(duration_s)), key=lambda entry: entry[0]
        )
        self._to_undo: list[tuple[float, Undo]] = []

    def step(self, elapsed_s: float) -> None:
        """Begin and undo what is due by now."""
        while self._to_begin and self._to_begin[0][0] <= elapsed_s:
            at_s, fault = self._to_begin.pop(0)
            self._stage.load.tell(do="mark")
            self._to_undo.append((at_s + fault.for_s, _BREAK[fault.kind](self._stage, fault)))
        for entry in [entry for entry in self._to_undo if entry[0] <= elapsed_s]:
            self._to_undo.remove(entry)
            entry[1]()

    def mend(self) -> None:
        """Undo now what was to be undone later."""
        for _, undo in self._to_undo:
            undo()
        self._to_undo.clear()
