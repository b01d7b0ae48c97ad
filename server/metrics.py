"""GET /metrics: the replica's counters for Prometheus, read on request."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from core.metrics import build_info, counts, latencies
from server.replica import Replica

DISCONNECTS = ("client left", "slow", "stalled", "flooding", "send failed", "max age", "server stopped")
REFUSALS = ("400", "401", "403", "503")
FOREIGN = (
    *("not one line", "not UTF-8", "not UTF-8 JSON", "not a JSON object"),
    *(f"stamp field '{name}' is missing" for name in ("stream", "seq", "topic", "phase", "due_ns", "sent_ns")),
    "seq, due_ns and sent_ns must be whole numbers from 0 to 9 x 10^18",
    "topic must be text, phase 'warmup' or 'measure'",
    "stream must be 1 to 32 characters of a-z and 0-9, seq below 10^18",
    *("no bytes", "too large", "topic mismatch", "blanks before the object", "no topic"),
    # The adapters' reasons. A plug-in may have others, which appear with their first message.
    *("an entry that cannot be decoded", "an entry without the fields topic and payload"),
    *("a message that cannot be decoded", "a topic that is not UTF-8", "a subject that is not UTF-8"),
    "a notification with a base64 marker but invalid content",
)


class Metrics:
    """The page, built for each scrape from the counters of `/stats` and two histograms."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each scrape."""
        yield build_info()
        yield from self._state()
        yield from self._events()
        yield from self._clients()

    def _state(self) -> Iterator[Metric]:
        hub, link = self._replica.hub, self._replica.link
        yield GaugeMetricFamily(
            "fanbench_ready", "1 when subscribed and connected, or within the grace period", int(link.ready)
        )
        connected = int(link.broker.connected)
        yield GaugeMetricFamily("fanbench_broker_connected", "1 while the link to the broker is up", connected)
        yield GaugeMetricFamily("fanbench_clients", "Connected clients", len(hub.clients))
        yield GaugeMetricFamily("fanbench_topics", "Subscribed topics", len(hub.topics))
        yield GaugeMetricFamily("fanbench_buffered_bytes", "Bytes held for clients", hub.buffered_bytes())
        yield GaugeMetricFamily("fanbench_history_bytes", "Bytes held for clients that resume", hub.history_bytes)

    def _events(self) -> Iterator[Metric]:
        ledger = self._replica.hub.ledger
        phases = {"warmup": 0, "measure": 0}
        for warmup, measure in ledger.received.values():
            phases["warmup"] += warmup
            phases["measure"] += measure
        yield counts("fanbench_received", "Events that the broker handed over", "phase", phases)
        yield latencies("fanbench_broker_hop_seconds", "From sent to received, of each event", ledger.broker_hop)
        words = "Of them, those received before they were sent: clocks differ"
        yield CounterMetricFamily("fanbench_broker_hop_negative", words, ledger.broker_hop.negative)
        words = "From the receipt of a turn's first event until all bytes were handed to the connections"
        yield latencies("fanbench_fanout_seconds", words, ledger.fanout)
        yield CounterMetricFamily("fanbench_gaps", "Interruptions that the adapter reported", ledger.gaps)
        lost = sum(ledger.gap_lost.values())
        yield CounterMetricFamily("fanbench_gap_lost", "Events that the adapter reported lost", lost)
        yield CounterMetricFamily("fanbench_holes", "Events that never arrived", ledger.holes)
        foreign = ledger.foreign + self._replica.link.broker.skipped
        yield counts("fanbench_foreign", "Messages that are not events", "reason", foreign, FOREIGN)

    def _clients(self) -> Iterator[Metric]:
        ledger, limits = self._replica.hub.ledger, self._replica.connection_limits
        yield CounterMetricFamily("fanbench_written", "Events handed to connections", ledger.written)
        yield CounterMetricFamily("fanbench_dropped", "Of them, discarded with a slow client", ledger.dropped)
        yield CounterMetricFamily("fanbench_replayed", "Of them, from history", ledger.replayed)
        yield CounterMetricFamily("fanbench_connects", "Streams opened", ledger.connects)
        yield CounterMetricFamily("fanbench_opened_topics", "Topics subscribed at the broker", ledger.opened_topics)
        yield CounterMetricFamily("fanbench_closed_topics", "Topics unsubscribed there", ledger.closed_topics)
        yield counts("fanbench_disconnects", "Streams ended", "reason", ledger.disconnects, DISCONNECTS)
        yield counts("fanbench_refused", "Requests refused, by status", "reason", ledger.refused, REFUSALS)
        words = "Connections without a request, or without room"
        yield CounterMetricFamily("fanbench_turned_away", words, limits.turned_away)
