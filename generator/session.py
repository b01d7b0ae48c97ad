"""One start of the generator: connect, hold if told to, publish, and write the report."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from brokers.registry import open_endpoint
from core.clock import now_ns
from core.contracts import codec
from core.contracts.generator_report import GeneratorReport
from core.contracts.session_rules import SessionRules
from core.endpoint.publish_request import parse_publish
from core.endpoint.request import NamedValue, parse_header, require_tls
from core.errors import UsageError
from generator.acceptance import require_accepted
from generator.clocks import compared
from generator.http_producer import http_producer
from generator.metrics import PublishedMetrics, served
from generator.publish import EventPublisher
from generator.publishes import Publishes
from generator.schedule import NS_PER_S
from generator.settings import GeneratorSettings


class Orders:
    """When the schedule starts and when it is called off, as ordered by signals or by the parent process."""

    def __init__(self, call_off: Callable[[], object]) -> None:
        self.started = asyncio.Event()
        self.starts_ns = 0
        """The schedule's first instant, if one was ordered."""
        self.call_off = call_off

    def start(self, starts_ns: int = 0) -> None:
        """Start, at that instant or now."""
        self.starts_ns = starts_ns
        self.started.set()

    def signalled(self) -> None:
        """The first signal starts the schedule, the next calls it off."""
        if self.started.is_set():
            self.call_off()
        else:
            self.start()


async def run_session(settings: GeneratorSettings) -> None:
    """Publish until the schedule ends or this task is cancelled; the report is written either way.

    Raises:
        UsageError: a setting cannot be used. BrokerError: the broker does not answer. TransientError: a service accepted no event.
    """
    session = asyncio.current_task()
    assert session is not None
    orders = Orders(session.cancel)
    if settings.hold:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, orders.signalled)
    else:
        orders.start()

    reports: list[GeneratorReport] = []

    def keep(report: GeneratorReport) -> None:
        reports.append(report)
        if settings.report is not None:
            codec.write(report, settings.report)

    try:
        await follow_orders(settings, orders, keep)
    finally:  # a cancellation is the usual end of a schedule without one
        for report in reports:
            require_accepted(settings, report)


async def follow_orders(
    settings: GeneratorSettings,
    orders: Orders,
    keep: Callable[[GeneratorReport], None],
    connected: Callable[[], None] = lambda: None,
    stream: str = "",
) -> None:
    """Connect, call `connected`, publish as ordered, and hand the report to `keep`, however it ends.

    Raises:
        UsageError: a setting cannot be used. BrokerError: the broker does not answer.
    """
    settings.require_topics()
    opened, delivery = _producer(settings)
    rules = read_rules(settings.sessions) if settings.sessions else None
    async with opened as producer:
        publisher = EventPublisher(producer, settings, delivery, rules, stream)
        metrics = PublishedMetrics(publisher, producer.link, settings.rate_hz / settings.its_share().of)
        async with served_and_compared(metrics, publisher, settings):
            try:
                connected()
                if settings.hold:
                    await publisher.probe_until(orders.started)
                await orders.started.wait()
                schedule = asyncio.create_task(publisher.run(first_instant_ns(settings, orders)))
                orders.call_off = schedule.cancel
                await _ended(schedule)
            finally:
                try:
                    await publisher.flush()
                finally:  # a second signal ends the wait, and not the report
                    keep(publisher.report())


def first_instant_ns(settings: GeneratorSettings, orders: Orders) -> int:
    """When the schedule starts, if that was ordered; 0: now.

    Raises:
        UsageError: that instant has passed, so a part of the schedule would be published late.
    """
    # Read again: whoever gives the order writes the instant into the rules first.
    in_rules = read_rules(settings.sessions).starts_ns if settings.sessions else 0
    if in_rules and settings.hold:
        return in_rules
    starts_ns = in_rules or settings.starts_ns()
    if starts_ns and (over_s := (now_ns() - starts_ns) / NS_PER_S) > 0:
        where, whom = f"FANBENCH_STARTS_AT={settings.starts_at}", "all shares"
        if in_rules:
            where, whom = f"starts_ns in {settings.sessions}", "generator and load"
        raise UsageError(
            f"{where}: that was {over_s:.1f} s ago when the broker was connected; give {whom} a later instant"
        )
    return starts_ns or orders.starts_ns


@asynccontextmanager
async def served_and_compared(
    metrics: PublishedMetrics, publisher: EventPublisher, settings: GeneratorSettings
) -> AsyncIterator[None]:
    """Tasks during the publishing: the page of metrics, and the comparison of clocks."""
    with served(metrics, settings.metrics_host, settings.metrics_port):
        async with compared(publisher.clocks, settings.replica_urls()):
            yield


def _producer(settings: GeneratorSettings) -> tuple[AbstractAsyncContextManager[Publishes], str]:
    """The publisher, to a broker or by HTTP, and its promise."""
    if settings.publish:
        headers = _headers(settings.header.get_secret_value())
        origin, request = parse_publish(settings.publish, headers, settings.publish_body)
        tls = settings.tls()
        require_tls(tls, [origin.scheme], "FANBENCH_PUBLISH")
        lanes = http_producer(origin, request, settings.publish_connections, settings.publish_pipeline, tls)
        return lanes, "at-most-once"
    adapter, endpoint = open_endpoint(settings.broker_url, settings.delivery, settings.broker_password_file)
    return adapter.producer(endpoint), endpoint.delivery


def _headers(text: str) -> tuple[NamedValue, ...]:
    """One a line. No value is shown: it may be a secret."""
    found = []
    for number, line in enumerate((line for line in text.splitlines() if line.strip()), 1):
        try:
            found.append(parse_header(line))
        except ValueError as error:
            raise UsageError(f"FANBENCH_HEADER: line {number}: {error}") from None
    return tuple(found)


def read_rules(path: Path) -> SessionRules:
    """The rules of sessions in a file.

    Raises:
        UsageError: there is no such file. DocumentError: its content is wrong.
    """
    rules = codec.read(SessionRules, path)
    if rules is None:
        raise UsageError(f"FANBENCH_SESSIONS={path}: no such file; docs/scenarios.md has an example")
    return rules


async def _ended(schedule: asyncio.Task[None]) -> None:
    """Wait for the schedule's end, or for its cancellation, which is not an error."""
    try:
        await asyncio.wait([schedule])
    finally:
        schedule.cancel()
    if not schedule.cancelled():
        schedule.result()
