"""Faults of single nodes of a cluster: which node, how it is broken, and how the cluster is made whole again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import psutil

from brokers.programs.cluster import Cluster
from brokers.programs.running import Running
from core.errors import TransientError
from core.fault import Fault
from core.topics import expand_topics
from harness.runner.testbed import Testbed

Undo = Callable[[], None]


def leader_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """SIGKILL to the node that leads."""
    return _kill(testbed, _leader(testbed))


def follower_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """SIGKILL to a node that does not lead, and that no replica is connected to, if there is one."""
    cluster, leads = _cluster(testbed), _led_by(testbed)
    followers = [node for node in cluster.nodes if node is not leads]
    connected = _connected(testbed)
    return _kill(testbed, next((node for node in followers if node not in connected), followers[-1]))


def connected_node_kill(testbed: Testbed, _fault: Fault) -> Undo:
    """SIGKILL to a node that a replica is connected to: one that does not lead, if there is one."""
    connected, leads = _connected(testbed), _led_by(testbed)
    if not connected:
        raise TransientError("connected-node-kill: no replica has a connection to a node; see the replicas' logs")
    victim = next((node for node in connected if node is not leads), connected[0])
    testbed.figures["broken_node_led"] = float(victim is leads)
    return _kill(testbed, victim)


def leader_pause(testbed: Testbed, _fault: Fault) -> Undo:
    """SIGSTOP to the node that leads."""
    cluster, leader = _cluster(testbed), _leader(testbed)
    leader.pause()

    def undo() -> None:
        leader.resume()
        cluster.wait_whole()

    return undo


def rolling_restart(testbed: Testbed, _fault: Fault) -> Undo:
    """Each node in turn told to end and started again, the leader last."""
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
    """SIGKILL to all nodes."""
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


def _cluster(testbed: Testbed) -> Cluster:
    assert isinstance(testbed.broker.running, Cluster)
    return testbed.broker.running


def _leader(testbed: Testbed) -> Running:
    topic = expand_topics(testbed.scenario.topics)[0]
    return _cluster(testbed).leader(testbed.contender.features, topic)


def _led_by(testbed: Testbed) -> Running | None:
    """The leader, where there is one."""
    return None if testbed.contender.clients_at == "any node, none leads" else _leader(testbed)


def _connected(testbed: Testbed) -> Sequence[Running]:
    """The nodes that replicas have connections to, those of the first replica first: as the kernel knows them."""
    cluster = _cluster(testbed)
    by_port = {int(address.rpartition(":")[2]): node for node in cluster.nodes for address in node.listeners.values()}
    found: dict[int, Running] = {}
    for replica in testbed.replicas:
        with contextlib.suppress(psutil.Error):
            for connection in psutil.Process(replica.child.pid).net_connections("tcp"):
                if (
                    connection.status == psutil.CONN_ESTABLISHED
                    and connection.raddr
                    and connection.raddr.port in by_port
                ):
                    found[connection.raddr.port] = by_port[connection.raddr.port]
    return list(found.values())
