"""GET /stats: a replica's counters, as JSON."""

from __future__ import annotations

import os

from core.contracts.replica_stats import ReplicaStats
from server.replica import Replica


def stats(replica: Replica) -> ReplicaStats:
    """The replica's counters now."""
    hub, ledger = replica.hub, replica.hub.ledger
    return ReplicaStats(
        server=replica.name,
        pid=os.getpid(),
        ready=replica.link.ready and not hub.stopping,
        broker=str(replica.endpoint),
        delivery=replica.endpoint.delivery,
        broker_connected=replica.link.broker.connected,
        broker_notice=replica.link.broker.notice,
        clients=len(hub.clients),
        topics=dict(hub.topic_clients()),
        received=ledger.received_by_stream(),
        delivered=ledger.written - ledger.dropped,
        gaps=ledger.gaps,
        gap_lost=dict(ledger.gap_lost),
        holes=ledger.holes,
        foreign=dict(ledger.foreign + replica.link.broker.skipped),
        disconnects=dict(ledger.disconnects),
        refused=dict(ledger.refused),
        dropped=ledger.dropped,
        replayed=ledger.replayed,
        connects=ledger.connects,
        opened_topics=ledger.opened_topics,
        closed_topics=ledger.closed_topics,
        turned_away=replica.connection_limits.turned_away,
        batch_sends=replica.ring is not None and replica.ring.usable,
        buffered_bytes=hub.buffered_bytes(),
        history_events=sum(len(topic.history) for topic in hub.topics.values()),
        history_bytes=hub.history_bytes,
    )
