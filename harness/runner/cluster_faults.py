"""Faults of single nodes of a cluster: chooses the node, breaks it, and restores the cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import psutil

from brokers.programs.cluster import Cluster
from brokers.programs.running import Running
from core.errors import TransientError
from core.fault import Fault
from core.topics import expand_topics
from harness.runner.hearing import Hearing
from harness.runner.testbed import Testbed

ALONE_S = 30.0
"""Time for a cluster to become whole after its links are restored; then the isolated node is restarted."""
_POLL_S = 0.05
Undo = Callable[[], None]


def leader_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """Send SIGKILL to the leader."""
    return _kill(testbed, _leader(testbed))


def follower_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """Send SIGKILL to a follower, if possible one without connected replicas."""
    cluster, leads = _cluster(testbed), _led_by(testbed)
    followers = [node for node in cluster.nodes if node is not leads]
    connected = _connected(testbed)
    return _kill(testbed, next((node for node in followers if node not in connected), followers[-1]))


def connected_node_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """Send SIGKILL to a node with a connected replica, if possible a follower."""
    connected, leads = _connected(testbed), _led_by(testbed)
    if not connected:
        raise TransientError("connected-node-kill: no replica has a connection to a node; see the replicas' logs")
    victim = next((node for node in connected if node is not leads), connected[0])
    testbed.figures["broken_node_led"] = float(victim is leads)
    return _kill(testbed, victim)


def leader_pause(testbed: Testbed, _fault: Fault) -> Undo:
    """Send SIGSTOP to the leader."""
    cluster, leader = _cluster(testbed), _leader(testbed)
    leader.pause()

    def undo() -> None:
        leader.resume()
        cluster.wait_whole()

    return undo


def leader_cut(testbed: Testbed, _fault: Fault) -> Undo:
    """Cut the leader off from the other nodes."""
    return _cut(testbed, _leader(testbed))


def minority_cut(testbed: Testbed, _fault: Fault) -> Undo:
    """Cut a follower off from the other nodes, if possible one with a connected replica."""
    leads = _led_by(testbed)
    nodes = [*_connected(testbed), *reversed(_cluster(testbed).nodes)]
    return _cut(testbed, next(node for node in nodes if node is not leads))


def rolling_restart(testbed: Testbed, _fault: Fault) -> Undo:
    """Restart one node after the other, the leader last."""
    cluster, leads = _cluster(testbed), _led_by(testbed)
    others = [node for node in cluster.nodes if node is not leads]
    first, *rest = [*others, leads] if leads is not None else others
    first.halt()

    def undo() -> None:
        first.start_again()
        cluster.wait_whole()
        for node in rest:
            node.halt()
            node.start_again()
            cluster.wait_whole()

    return undo


def cluster_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """Send SIGKILL to all nodes."""
    cluster = _cluster(testbed)
    cluster.kill()
    return cluster.start_again


def _kill(testbed: Testbed, node: Running) -> Undo:
    cluster = _cluster(testbed)
    node.kill()

    def undo() -> None:
        node.start_again()
        cluster.wait_whole()

    return undo


def _cut(testbed: Testbed, node: Running) -> Undo:
    cluster = _cluster(testbed)
    rejoin = cluster.cut(node)

    def undo() -> None:
        rejoin()
        try:
            cluster.wait_whole(ALONE_S)
        except TransientError:  # an operator would restart the node
            testbed.figures["needed_help"] = 1.0
            node.kill()
            node.start_again()
            cluster.wait_whole()
        else:
            testbed.figures["needed_help"] = 0.0
        _wait_heard(testbed)

    return undo


def _wait_heard(testbed: Testbed) -> None:
    """Return when every replica delivers, or after ALONE_S: TCP uses a restored link only at its next attempt."""
    hearing, deadline = Hearing(testbed), time.monotonic() + ALONE_S
    while not hearing.steady() and time.monotonic() < deadline:
        for child in testbed.alive():
            child.require_alive()
        time.sleep(_POLL_S)


def _cluster(testbed: Testbed) -> Cluster:
    assert isinstance(testbed.broker.running, Cluster)
    return testbed.broker.running


def _leader(testbed: Testbed) -> Running:
    topic = expand_topics(testbed.scenario.topics)[0]
    return _cluster(testbed).leader(testbed.contender.features, topic)


def _led_by(testbed: Testbed) -> Running | None:
    """The leader, if there is one."""
    return None if testbed.contender.clients_at == "any node, none leads" else _leader(testbed)


def _connected(testbed: Testbed) -> Sequence[Running]:
    """The nodes that replicas are connected to, according to the kernel; the first replica's nodes come first."""
    cluster = _cluster(testbed)
    by_address = {address: node for node in cluster.nodes for address in node.listeners.values()}
    found: dict[str, Running] = {}
    for replica in testbed.replicas:
        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(replica.child.pid).net_connections("tcp"):
                far = f"{connection.raddr.ip}:{connection.raddr.port}" if connection.raddr else ""
                if connection.status == psutil.CONN_ESTABLISHED and far in by_address:
                    found[far] = by_address[far]
    return list(found.values())
