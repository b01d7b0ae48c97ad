"""Applies a scenario's faults at their times, and undoes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from brokers.contender import Contender
from brokers.limits import no_node_to_break
from brokers.programs.namespaces import why_not
from core.contracts.load_orders import LoadOrder
from core.errors import FanbenchError
from core.fault import LAST_SIGNS_S, TAIL_S, Fault, FaultKind
from harness.runner import cluster_faults
from harness.runner.deployment import Deployment
from harness.runner.hearing import Hearing
from harness.runner.own_commands import TIMEOUT_S
from harness.runner.polling import poll
from harness.runner.processes import ReplicaProcess, get
from harness.runner.testbed import Testbed

REPLICA_READY_S = 20.0
MENDING_S = 150.0
"""Time limit for an undo, such as a broker restart or a rolling restart of the replicas."""
Undo = Callable[[], None]


def _nothing() -> None:
    """No-op undo."""


def _broker_kill(testbed: Testbed, _fault: Fault) -> Undo:
    running = testbed.broker.running
    assert running is not None
    running.kill()
    return running.start_again


def _broker_stop(testbed: Testbed, _fault: Fault) -> Undo:
    running = testbed.broker.running
    assert running is not None
    running.pause()
    return running.resume


def _link_cut(testbed: Testbed, _fault: Fault) -> Undo:
    testbed.links[0].cut()
    return testbed.links[0].restore


def _link_delay(testbed: Testbed, fault: Fault) -> Undo:
    testbed.links[0].delay(fault.delay_ms / 1000)
    return testbed.links[0].restore


def _link_stall(testbed: Testbed, _fault: Fault) -> Undo:
    testbed.links[0].stall()
    return testbed.links[0].restore


def _generator_cut(testbed: Testbed, _fault: Fault) -> Undo:
    assert testbed.generator_link is not None
    testbed.generator_link.cut()
    return testbed.generator_link.restore


def _proxy_stall(testbed: Testbed, fault: Fault) -> Undo:
    assert testbed.client_links is not None
    testbed.client_links.hold(fault.lasting_s)
    return _nothing


def _replica_kill(testbed: Testbed, _fault: Fault) -> Undo:
    victim = testbed.replicas[0]
    victim.down = True
    victim.child.kill()
    return partial(_start_again, testbed, victim)


def _replica_restart(testbed: Testbed, _fault: Fault) -> Undo:
    first, *others = testbed.replicas
    _tell_to_end(first)

    def roll() -> None:
        _start_again(testbed, first)
        for replica in others:
            _tell_to_end(replica)
            _start_again(testbed, replica)

    return roll


def _tell_to_end(replica: ReplicaProcess) -> None:
    replica.down = True
    replica.child.stop(grace_s=5.0)


def _start_again(testbed: Testbed, replica: ReplicaProcess) -> None:
    replica.start_again()
    testbed.children.add(replica.child)
    ready = partial(get, f"{replica.url}/readyz")
    poll(f"{replica.name} ready again", REPLICA_READY_S, ready, [replica.child])


def _clients_stall(testbed: Testbed, fault: Fault) -> Undo:
    testbed.load.tell(LoadOrder(do="stall", share=fault.share_of_clients, for_s=fault.lasting_s))
    return _nothing


def _clients_cut(testbed: Testbed, fault: Fault) -> Undo:
    testbed.load.tell(LoadOrder(do="cut", share=fault.share_of_clients))
    return _nothing


def _clients_churn(testbed: Testbed, fault: Fault) -> Undo:
    testbed.load.tell(LoadOrder(do="churn", share=fault.share_of_clients, for_s=fault.lasting_s))
    return _nothing


def _deployment_break(testbed: Testbed, _fault: Fault) -> Undo:
    """A command that fails, or is interrupted, may have broken something, so that `--mend` follows it in any case."""
    assert testbed.deployment is not None
    assert testbed.run_own is not None
    mend = partial(testbed.run_own, "--mend", testbed.deployment.mending)
    try:
        testbed.run_own("--break", testbed.deployment.breaking)
    except BaseException as error:
        _mend_after(error, mend)
        raise
    return mend


def _mend_after(error: BaseException, mend: Undo) -> None:
    """Mend because of this error, or of Ctrl-C; if that fails, too, add it to the error."""
    try:
        mend()
    except FanbenchError as failed:
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(str(failed)) from failed
        raise FanbenchError(f"{error}; then {failed}") from failed


_BREAK: dict[FaultKind, Callable[[Testbed, Fault], Undo]] = {
    "broker-kill": _broker_kill,
    "broker-stop": _broker_stop,
    "link-cut": _link_cut,
    "link-delay": _link_delay,
    "link-stall": _link_stall,
    "generator-cut": _generator_cut,
    "proxy-stall": _proxy_stall,
    "replica-kill": _replica_kill,
    "replica-restart": _replica_restart,
    "clients-stall": _clients_stall,
    "clients-cut": _clients_cut,
    "clients-churn": _clients_churn,
    "leader-kill": cluster_faults.leader_kill,
    "follower-kill": cluster_faults.follower_kill,
    "connected-node-kill": cluster_faults.connected_node_kill,
    "leader-pause": cluster_faults.leader_pause,
    "leader-cut": cluster_faults.leader_cut,
    "minority-cut": cluster_faults.minority_cut,
    "rolling-restart": cluster_faults.rolling_restart,
    "cluster-kill": cluster_faults.cluster_kill,
    "deployment-break": _deployment_break,
}


def require_possible(faults: Sequence[Fault], testbed: Testbed) -> None:
    """Raise FanbenchError if a fault has nothing to break here."""
    for fault in faults:
        if (why := impossible(fault, testbed.contender, testbed.deployment)) is not None:
            raise FanbenchError(f"{fault.kind}: {why}; leave it out")


def impossible(fault: Fault, contender: Contender, deployment: Deployment | None = None) -> str | None:
    """Return why a fault is impossible for a contender; None if it is possible."""
    if fault.of_deployment:
        if deployment is None:
            return "fanbench started everything itself; it is for your own replicas, see --replicas-at"
        return None if deployment.breaking else "no command says how; give --break CMD and --mend CMD"
    if deployment is not None and not fault.done_to_clients:
        return (
            "fanbench cannot break brokers, links and replicas of your own deployment; give --break CMD and --mend "
            "CMD, which can"
        )
    if fault.of_nodes:
        return no_node_to_break(contender, fault.kind) or (why_not() if fault.of_links else None)
    if fault.needs_broker and contender.clustered:
        return f"{contender.name} is a cluster, whose nodes tell clients their addresses; use a fault of nodes, such as cluster-kill"
    if fault.needs_broker and contender.program is None:
        return f"{contender.name} has no broker program that fanbench started and could break"
    if fault.ends_a_replica and contender.embedded:
        return f"{contender.name} generates events in the replicas, so the events would end with a replica"
    return None


@dataclass(frozen=True, slots=True)
class _ToUndo:
    at_s: float
    undo: Undo
    hearing: Hearing | None
    """Undo it early, once all clients get events."""
    outlives_run: bool = False
    """Whether it stays broken after the run unless it is undone: everything else ends with the run's programs."""

    def due(self, elapsed_s: float) -> bool:
        return elapsed_s >= self.at_s or (self.hearing is not None and self.hearing.steady())


class Timeline:
    """The faults of one run, starting now; call `step` often."""

    def __init__(self, faults: Sequence[Fault], testbed: Testbed) -> None:
        self._stage = testbed
        duration_s = testbed.scenario.duration_s
        self._to_begin = sorted(
            ((at_s, fault) for fault in faults for at_s in fault.times_s(duration_s)), key=lambda entry: entry[0]
        )
        self._to_undo: list[_ToUndo] = []
        self._began_s = time.monotonic()
        self._end_s = duration_s

    @property
    def longest_s(self) -> float:
        """The latest possible end of the timeline in seconds, including restarts and the user's own commands."""
        last_s = max((at_s + fault.lasting_s for at_s, fault in self._to_begin), default=0.0)
        mending_s = sum(2 * TIMEOUT_S if fault.of_deployment else MENDING_S for _, fault in self._to_begin)
        return max(self._end_s, last_s + TAIL_S) + mending_s

    def step(self) -> bool:
        """Start and undo the faults that are due; return whether the measured phase is over, with all faults and the tail."""
        while self._to_begin and self._to_begin[0][0] <= self._elapsed_s():
            at_s, fault = self._to_begin.pop(0)
            undo = self._begin(fault)
            hearing = Hearing(self._stage) if fault.ends_early else None
            self._to_undo.append(_ToUndo(at_s + fault.lasting_s, undo, hearing, fault.of_deployment))
        for entry in [entry for entry in self._to_undo if entry.due(self._elapsed_s())]:
            self._to_undo.remove(entry)
            entry.undo()
            # If every replica already delivers, no client has to reconnect: the tail must only cover the node's return.
            tail_s = TAIL_S if entry.hearing is None else LAST_SIGNS_S
            self._end_s = max(self._end_s, self._elapsed_s() + tail_s)
        return not self._to_begin and not self._to_undo and self._elapsed_s() >= self._end_s

    def abandon(self, error: BaseException, say: Callable[[str], None]) -> None:
        """The run ends early, because of this error: undo what would stay broken.

        Raises the error with a further reason if something could not be undone.
        """
        for entry in [entry for entry in self._to_undo if entry.outlives_run]:
            self._to_undo.remove(entry)
            say("running --mend")
            _mend_after(error, entry.undo)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _begin(self, fault: Fault) -> Undo:
        # Locust marks the moment of a fault that it applies to clients, if it was told to mark any. A user's own command
        # does not report when it broke something, so every silence since its start counts.
        if fault.done_to_clients or fault.of_deployment:
            self._stage.load.tell(LoadOrder(do="mark", at_ns=time.time_ns()))
            return _BREAK[fault.kind](self._stage, fault)
        undo = _BREAK[fault.kind](self._stage, fault)
        self._stage.load.tell(LoadOrder(do="mark", at_ns=time.time_ns()))  # events that were due earlier still arrived
        return undo
