"""One start of the generator: connect, hold if told to, publish, and write the report."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from brokers.registry import open_endpoint
from core.contracts import codec
from core.contracts.session_rules import SessionRules
from core.endpoint.publish_request import parse_publish
from core.endpoint.request import NamedValue, parse_header
from core.errors import UsageError
from generator.clocks import compared
from generator.http_producer import http_producer
from generator.metrics import PublishedMetrics, served
from generator.publish import EventPublisher
from generator.publishes import Publishes
from generator.settings import GeneratorSettings


async def run_session(settings: GeneratorSettings) -> None:
    """Publish until the schedule ends or this task is cancelled; the report is written either way.

    Raises:
        UsageError: a setting cannot be used. BrokerError: the broker does not answer.
    """
    opened, delivery = _producer(settings)
    loop, start = asyncio.get_running_loop(), asyncio.Event()
    if settings.hold:
        loop.add_signal_handler(signal.SIGUSR1, start.set)
    rules = read_rules(settings.sessions) if settings.sessions else None
    async with opened as producer:
        publisher = EventPublisher(producer, settings, delivery, rules)
        metrics = PublishedMetrics(publisher, producer.link, settings.rate_hz)
        try:
            async with served_and_compared(metrics, publisher, settings):
                if settings.hold:
                    await publisher.probe_until(start)
                # Read again: it may now say when the schedule starts, which the load is told too.
                starts_ns = read_rules(settings.sessions).starts_ns if settings.sessions else 0
                schedule = asyncio.create_task(publisher.run(starts_ns))
                if settings.hold:
                    loop.add_signal_handler(signal.SIGUSR1, schedule.cancel)
                await _ended(schedule)
        finally:
            await publisher.flush()
            if settings.report is not None:
                codec.write(publisher.report(), settings.report)


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
        return http_producer(origin, request, settings.publish_connections, settings.publish_pipeline), "at-most-once"
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
        raise UsageError(f"FANBENCH_SESSIONS={path}: no such file; docs/scenarios.md has a model")
    return rules


async def _ended(schedule: asyncio.Task[None]) -> None:
    """Wait for the schedule's end, or for its cancellation, which is not an error."""
    try:
        await asyncio.wait([schedule])
    finally:
        schedule.cancel()
    if not schedule.cancelled():
        schedule.result()
