"""What a replica tells of itself: /stats as JSON, /metrics for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from core.contracts.replica_stats import ReplicaStats
from server.replica import Replica


def stats(replica: Replica) -> ReplicaStats:
    """What the replica counts, as it is now."""
    hub, ledger = replica.hub, replica.hub.ledger
    return ReplicaStats(
        server=replica.name,
        pid=os.getpid(),
        ready=replica.link.ready and not hub.stopping,
        broker=str(replica.endpoint),
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
        turned_away=replica.connection_limits.turned_away,
        batch_sends=replica.ring is not None and replica.ring.usable,
        buffered_bytes=hub.buffered_bytes(),
        history_events=sum(len(topic.history) for topic in hub.topics.values()),
        history_bytes=hub.history_bytes,
    )


class Metrics:
    """The replica's counters in Prometheus' text format."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each page."""
        hub, ledger = self._replica.hub, self._replica.hub.ledger
        foreign = ledger.foreign + self._replica.link.broker.skipped
        link = self._replica.link
        yield GaugeMetricFamily(
            "fanbench_ready", "1 when subscribed and, but for the grace, connected", int(link.ready)
        )
        connected = int(link.broker.connected)
        yield GaugeMetricFamily("fanbench_broker_connected", "1 while the link to the broker is up", connected)
        yield GaugeMetricFamily("fanbench_clients", "Connected clients", len(hub.clients))
        yield GaugeMetricFamily("fanbench_topics", "Subscribed topics", len(hub.topics))
        yield GaugeMetricFamily("fanbench_buffered_bytes", "Bytes held for clients", hub.buffered_bytes())
        yield GaugeMetricFamily("fanbench_history_bytes", "Bytes held for clients that resume", hub.history_bytes)
        phases = {"warmup": 0, "measure": 0}
        for warmup, measure in ledger.received.values():
            phases["warmup"] += warmup
            phases["measure"] += measure
        yield _by("fanbench_received", "Events that the broker handed over", "phase", phases)
        yield CounterMetricFamily("fanbench_written", "Events handed to connections", ledger.written)
        yield CounterMetricFamily("fanbench_dropped", "Of them, thrown away with a slow client", ledger.dropped)
        yield CounterMetricFamily("fanbench_replayed", "Of them, from history", ledger.replayed)
        yield CounterMetricFamily("fanbench_gaps", "Interruptions that the adapter told", ledger.gaps)
        yield CounterMetricFamily("fanbench_holes", "Events that never came", ledger.holes)
        yield CounterMetricFamily("fanbench_connects", "Streams opened", ledger.connects)
        yield _by("fanbench_disconnects", "Streams ended", "reason", ledger.disconnects)
        yield _by("fanbench_refused", "Requests refused", "reason", ledger.refused)
        yield _by("fanbench_foreign", "Messages that are no events", "reason", foreign)


def _by(name: str, words: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
