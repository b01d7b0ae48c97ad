"""GET /metrics of the generator, on a separate port: its counts so far, for Prometheus."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from core.errors import TransientError, UsageError
from core.metrics import build_info, counts, latencies
from generator.publish import EventPublisher
from generator.publishes import Connected


class PublishedMetrics:
    """Read in another thread: it reads single values, which are consistent at any moment."""

    def __init__(self, publisher: EventPublisher, link: Connected, rate_hz: float) -> None:
        self._publisher = publisher
        self._link = link
        self._rate_hz = rate_hz

    def collect(self) -> Iterator[Metric]:
        """Called by the registry for each page."""
        publisher = self._publisher
        yield build_info()
        connected = int(self._link.connected)
        yield GaugeMetricFamily("fanbench_broker_connected", "1 while the link to the broker is up", connected)
        yield GaugeMetricFamily("fanbench_offered_hz", "Events per second that are due", self._rate_hz)
        yield GaugeMetricFamily("fanbench_in_flight", "Publishes under way", publisher.in_flight)
        yield counts("fanbench_sent", "Events handed to the adapter", "phase", publisher.sent())
        yield CounterMetricFamily("fanbench_failed", "Of them, those that were not published", publisher.failed)
        yield CounterMetricFamily("fanbench_retried", "Of them, published at a later try", publisher.retried)
        words = "From due to sent, of each event"
        yield latencies("fanbench_schedule_lag_seconds", words, publisher.schedule_lag)
        words = "From sent until the delivery promise was met, of each publish that succeeded"
        yield latencies("fanbench_publish_seconds", words, publisher.publishing)


@contextmanager
def served(metrics: PublishedMetrics, host: str, port: int) -> Iterator[None]:
    """Serve the page at this address; port 0 serves none.

    Raises:
        UsageError: the address cannot be used. TransientError: another process listens there.
    """
    if not port:
        yield
        return
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        words = f"cannot listen on {host}:{port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            raise TransientError(f"{words}; choose another with FANBENCH_METRICS_PORT") from error
        raise UsageError(f"{words}; check FANBENCH_METRICS_HOST and FANBENCH_METRICS_PORT") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
