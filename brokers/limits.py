"""Where a product cannot keep the promise that a contender declares, is slow to go on, or has nothing to break, and why: by kind of fault.

Each reason is shown on the bare product, without an adapter of ours, in tests/brokers/test_limits.py and, of clusters,
test_rabbitmq_cluster.py, test_nats_elections.py and test_cuts.py.
"""

from __future__ import annotations

from brokers.contender import Contender
from core.fault import FaultKind

_SESSIONS = "mosquitto writes sessions to disk when it ends in good order: SIGKILL takes those made since, with what waits in them"
_NO_REPLAY = (
    "{product} keeps what was published for those who had subscribed: a replica that starts anew gets nothing of before"
)

_NO_LEADER = "RabbitMQ 3.10 elects no leader of a quorum queue whose members were all killed at once: all run again, and nobody leads"

_COPIED_LATER = (
    "a primary acknowledges before its replicas have a copy: what it had not sent them yet dies with it, or is thrown away when "
    "it comes back as a replica"
)

_SPLIT = (
    "a primary that is cut off from its replicas goes on acknowledging, and throws that away when it comes back as a replica: "
    "min_replicas_to_write=1 has it stop after ten seconds"
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

_ELECTION = "nats-server elects another leader of a stream 4 to 9 s after the last sign of the old one, and no setting changes that"
_SESSIONS_LED = (
    f"a session of MQTT is kept in a stream, and a node takes no client while the stream has no leader: {_ELECTION}"
)

_SLOW: dict[tuple[str, FaultKind], str] = {
    ("nats-jetstream-r3", "leader-kill"): _ELECTION,
    ("nats-jetstream-r3", "leader-pause"): _ELECTION,
    ("nats-mqtt-r3", "connected-node-kill"): _SESSIONS_LED,
}


def limit(contender: str, fault: FaultKind) -> str | None:
    """Why the contender may lose events in this fault although it promises not to; None if it may not."""
    return _LIMITS.get((contender.partition("?")[0], fault))


def slowness(contender: str, fault: FaultKind) -> str | None:
    """Why the product itself leaves clients without events for seconds in this fault; None where nothing is known."""
    return _SLOW.get((contender.partition("?")[0], fault))


def no_node_to_break(contender: Contender, fault: FaultKind) -> str | None:
    """Why a fault of nodes cannot be done to the contender; None if it can."""
    if not contender.clustered:
        return f"{contender.name} is not a cluster: name one of `fanbench doctor`, or give --clusters"
    if contender.clients_at == "any node, none leads":
        if fault in ("leader-kill", "leader-pause"):
            return f"no node leads in {contender.name}: see connected-node-kill"
        if fault == "leader-cut":
            return f"no node leads in {contender.name}: see minority-cut"
    if fault == "connected-node-kill" and contender.clients_at == "the leader":
        return f"clients of {contender.name} are connected to the leader: see leader-kill"
    return None
