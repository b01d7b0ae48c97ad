"""Why a product cannot keep a declared promise, recovers slowly, or has nothing to break, by kind of fault.

Tests show each reason on the bare product, without a fanbench adapter: tests/brokers/test_limits.py and, for clusters,
test_rabbitmq_cluster.py, test_nats_elections.py and test_cuts.py.
"""

from __future__ import annotations

from brokers.contender import Contender
from core.fault import FaultKind

_SESSIONS = "mosquitto writes sessions to disk when it shuts down cleanly: SIGKILL loses the sessions created since then, with their queued messages"
_NO_REPLAY = "{product} keeps events only for existing subscribers: a replica that starts fresh gets no earlier events"

_NO_LEADER = "RabbitMQ 3.10 elects no leader for a quorum queue if all its members were killed at once: they all run again, without a leader"

_COPIED_LATER = (
    "a primary acknowledges before its replicas have a copy: events that it had not sent yet die with it, or are discarded when "
    "it comes back as a replica"
)

_SPLIT = (
    "a primary that is cut off from its replicas still acknowledges, and discards those events when it comes back as a replica; "
    "with min_replicas_to_write=1 it stops after ten seconds"
)

_LIMITS: dict[tuple[str, FaultKind], str] = {
    ("mosquitto-qos1", "broker-kill"): _SESSIONS,
    ("mosquitto-qos1", "replica-kill"): _NO_REPLAY.format(product="MQTT"),
    ("mosquitto-qos1", "replica-restart"): _NO_REPLAY.format(product="MQTT"),
    ("valkey-streams-sentinel", "leader-kill"): _COPIED_LATER,
    ("valkey-streams-sentinel", "leader-pause"): _COPIED_LATER,
    ("valkey-streams-sentinel", "leader-cut"): _SPLIT,
    ("rabbitmq-quorum", "cluster-kill"): _NO_LEADER,
    ("rabbitmq-confirms", "replica-kill"): _NO_REPLAY.format(product="an AMQP exchange"),
    ("rabbitmq-confirms", "replica-restart"): _NO_REPLAY.format(product="an AMQP exchange"),
}

_ELECTION = "nats-server elects a new leader of a stream 4 to 9 s after the last heartbeat of the old one, and no setting changes this"
_SESSIONS_LED = (
    f"MQTT sessions are stored in a stream, and a node accepts no client while that stream has no leader: {_ELECTION}"
)

_SLOW: dict[tuple[str, FaultKind], str] = {
    ("nats-jetstream-r3", "leader-kill"): _ELECTION,
    ("nats-jetstream-r3", "leader-pause"): _ELECTION,
    ("nats-mqtt-r3", "connected-node-kill"): _SESSIONS_LED,
}


def limit(contender: str, fault: FaultKind) -> str | None:
    """Why the contender may lose events in this fault although it promises not to; None if there is no such reason."""
    return _LIMITS.get((contender.partition("?")[0], fault))


def slowness(contender: str, fault: FaultKind) -> str | None:
    """Why the product itself leaves clients without events for seconds in this fault; None if nothing is known."""
    return _SLOW.get((contender.partition("?")[0], fault))


def no_node_to_break(contender: Contender, fault: FaultKind) -> str | None:
    """Why the contender cannot have a fault of nodes; None if it can."""
    if not contender.clustered:
        return f"{contender.name} is not a cluster: name a cluster that `fanbench doctor` lists, or give --clusters"
    if contender.clients_at == "any node, none leads":
        if fault in ("leader-kill", "leader-pause"):
            return f"{contender.name} has no leader: see connected-node-kill"
        if fault == "leader-cut":
            return f"{contender.name} has no leader: see minority-cut"
    if fault == "connected-node-kill" and contender.clients_at == "the leader":
        return f"clients of {contender.name} are connected to the leader: see leader-kill"
    return None
