"""NATS JetStream, through nats-py. At least once, with replay: one stream, one ephemeral consumer for each replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from brokers import inbox, nats_options, nats_stream, tls
from brokers.api import Delivery, Done
from brokers.connection import ProducerConnection
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, Refusal, TopicRefusedError
from brokers.nats_dialler import calls
from brokers.nats_errors import AnswerError, NoRespondersError
from brokers.nats_js_consumer import JetStreamConsumer
from brokers.nats_link import NatsConnection
from brokers.nats_stream import answer_of, ensure_stream, subjects_of
from brokers.nats_subjects import MAX_TOPIC_BYTES, taken_by, topic_names
from brokers.recent_entries import RECENT
from brokers.reconnect import finish, keep_up


class JetStreamProducer:
    """Each message is acknowledged by the stream."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.line = ProducerConnection(endpoint, calls(self._prepare), topic_names(endpoint))
        self.link = self.line.link
        self._endpoint = endpoint
        self._name_of = self.line.name_of
        self._prefix = subjects_of(endpoint)
        self._timeout_s = endpoint.timeout_s
        self._taken: tuple[str, ...] = ()

    async def _prepare(self, link: NatsConnection) -> None:
        self._taken = (await ensure_stream(self._endpoint, link)).subjects

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the message is in the stream."""
        ended: asyncio.Future[BrokerError | None] = asyncio.get_running_loop().create_future()

        def done(error: BrokerError | None) -> None:
            if not ended.done():  # the caller was cancelled
                ended.set_result(error)

        self.begin(topic, payload, done)
        if self.line.connection is not None:
            self.line.connection.requests.flush_soon()
        error = await ended
        if error is not None:
            raise error

    def begin(self, topic: str, payload: bytes, done: Done) -> None:
        """The same without a task."""
        link = self.line.connection
        if link is None:
            done(self.line.failed(topic))
            return
        try:
            subject = f"{self._prefix}.{self._name_of(topic)}"
        except BrokerError as error:
            done(error)
            return
        answered = partial(self._answered, topic, subject, done)
        link.requests.begin(subject, payload, self._timeout_s, answered)

    def flush(self) -> None:
        """Send the begun publishes together."""
        if self.line.connection is not None:
            self.line.connection.requests.flush()

    def _answered(self, topic: str, subject: str, done: Done, answer: bytes | Exception) -> None:
        if isinstance(answer, bytes):
            try:
                answer_of(answer)
            except AnswerError as error:
                answer = error
            else:
                done(None)
                return
        if isinstance(answer, NoRespondersError) and not taken_by(self._taken, subject):
            words = f"the stream takes {', '.join(self._taken) or 'no subjects'}, and not {subject}"
            done(TopicRefusedError(self._endpoint, "publish on", topic, Refusal("invalid", words)))
            return
        done(self.line.failed(topic, answer))


class JetStreamAdapter:
    """`nats+js://[user:password@]host[:port]`, `nats+js+tls://` with TLS, `nats+js+ws://` and `nats+js+wss://`."""

    name = "nats-jetstream"
    schemes = tuple(f"nats+js{way}" for way in nats_options.SCHEMES)
    deliveries: tuple[Delivery, ...] = ("at-least-once",)
    replay = True
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = nats_options.ports(*schemes)
    options = (*nats_stream.OPTIONS, *nats_options.OPTIONS, RECENT, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[JetStreamProducer]:
        """Connect, and stay connected."""
        producer = JetStreamProducer(endpoint)
        async with keep_up(endpoint, producer.line):
            yield producer

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[JetStreamConsumer]:
        """Connect, and stay connected."""
        consumer = JetStreamConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            await finish(consumer.feed.close())

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Delete the run's stream and its consumers; a stream from `?stream=` belongs to somebody else.

        Raises:
            BrokerError: it cannot be deleted.
        """
        if endpoint.get(nats_stream.STREAM):
            return

        async def remove(link: NatsConnection) -> None:
            await nats_stream.remove_stream(endpoint, link)

        line = ProducerConnection(endpoint, calls(remove), topic_names(endpoint))
        async with keep_up(endpoint, line):
            pass


adapter = JetStreamAdapter()
