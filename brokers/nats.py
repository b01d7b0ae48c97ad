"""NATS core publish/subscribe, through nats-py. At most once: the broker keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from brokers import inbox, nats_link, tls
from brokers.api import Delivery, Gap, Message
from brokers.endpoint import BrokerError, Endpoint, refuse_history
from brokers.nats_link import Link, subject_of
from brokers.reconnect import keep_up, reason


class NatsProducer:
    """A `Line` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._link: Link | None = None
        self._cause = "not connected"
        self._subjects: dict[str, str] = {}

    @property
    def connected(self) -> bool:
        """Whether the connection is up, as far as is known."""
        return self._link is not None

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once nats-py has taken the message; the broker confirms nothing."""
        if self._link is None:
            raise self._failed(topic, self._cause)
        subject = self._subjects.get(topic)
        if subject is None:
            subject = self._subjects[topic] = subject_of(topic)
        try:
            await self._link.client.publish(subject, payload)
        except nats_link.Error as error:
            raise self._failed(topic, reason(error)) from None

    def _failed(self, topic: str, cause: str) -> BrokerError:
        return BrokerError(self._endpoint, f"publish on '{topic}'", cause, "publish again once the connection is back")

    async def dial(self) -> Link:
        """Connect."""
        self._link = await nats_link.dial(self._endpoint)
        return self._link

    async def serve(self, link: Link) -> None:
        """Wait for the end of the connection."""
        await nats_link.until_lost(link)

    def lost(self, cause: str) -> None:
        """Refuse to publish from now on."""
        self._link = None
        self._cause = f"connection lost: {cause}"

    async def hang_up(self, link: Link) -> None:
        """Close."""
        await nats_link.hang_up(link)


class NatsConsumer:
    """A `Line` for `keep_up`; one NATS subscription for each topic."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._capacity = endpoint.whole_number("buffer", inbox.DEFAULT_CAPACITY)
        self.inbox = inbox.Inbox(self._capacity)
        self._link: Link | None = None
        self._subscriptions: dict[str, Any] = {}
        """By topic; None while it is not sent to the broker."""
        self._cause: str | None = None
        self._up = asyncio.Event()
        self._sending = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether the connection is up, as far as is known."""
        return self._up.is_set()

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the broker confirmed, which may be after a reconnect."""
        refuse_history(self._endpoint, since_ns)
        added = [topic for topic in topics if topic not in self._subscriptions]
        self._subscriptions |= dict.fromkeys(added)
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                await self._confirm(topics)
        except BaseException as error:
            await self._forget(added)
            if isinstance(error, TimeoutError | nats_link.Error):
                action, step = f"subscribe '{topics[0]}'", "check that the broker is up"
                raise BrokerError(self._endpoint, action, reason(error), step) from None
            raise

    async def _confirm(self, topics: Iterable[str]) -> None:
        while True:
            await self._up.wait()
            link = self._link
            assert link is not None
            try:
                return await self._send(link, topics)
            except nats_link.Error:
                if not link.closed.is_set():
                    raise
            await asyncio.sleep(0)  # lost meanwhile: `lost` is about to clear _up, and the reconnect subscribes

    async def _send(self, link: Link, topics: Iterable[str]) -> None:
        """Subscribe what is not subscribed yet; a ping's answer confirms all that was sent before it."""
        async with self._sending:
            for topic in topics:
                if self._subscriptions.get(topic, self) is None:
                    self._subscriptions[topic] = await link.client.subscribe(
                        subject_of(topic),
                        cb=self._callback(topic),
                        pending_msgs_limit=self._capacity,
                        pending_bytes_limit=0,
                    )
        await link.client.flush(self._endpoint.timeout_s)

    def _callback(self, topic: str) -> Callable[[Any], Awaitable[None]]:
        put = self.inbox.put

        async def deliver(message: Any) -> None:
            put(topic, message.data)

        return deliver

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and tell the broker."""
        await self._forget(topics)
        self.inbox.discard(topics)

    async def _forget(self, topics: Iterable[str]) -> None:
        for subscription in [self._subscriptions.pop(topic, None) for topic in topics]:
            if subscription is not None:
                with contextlib.suppress(nats_link.Error):  # closed: there is nothing left to unsubscribe from
                    await subscription.unsubscribe()

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> Link:
        """Connect, and subscribe again to what was subscribed."""
        link = await nats_link.dial(self._endpoint, self.inbox)
        try:
            self._subscriptions = dict.fromkeys(self._subscriptions)
            await self._send(link, list(self._subscriptions))
        except BaseException:
            await nats_link.hang_up(link)
            raise
        self._link = link
        self._up.set()
        self.inbox.release(Gap(self._cause, None) if self._cause and self._subscriptions else None)
        self._cause = None
        return link

    async def serve(self, link: Link) -> None:
        """Wait for the end of the connection."""
        await nats_link.until_lost(link)

    def lost(self, cause: str) -> None:
        """Hold back what comes next until the Gap has its place."""
        self._up.clear()
        self._link = None
        self._cause = self._cause or f"connection lost: {cause}"
        self.inbox.hold()

    async def hang_up(self, link: Link) -> None:
        """Close."""
        await nats_link.hang_up(link)


class NatsAdapter:
    """`nats://[user:password@]host[:port]`, `nats+tls://` with TLS."""

    name = "nats"
    schemes = ("nats", "nats+tls")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    options = inbox.OPTION | tls.OPTION

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[NatsProducer]:
        """Connect, and stay connected."""
        producer = NatsProducer(endpoint)
        async with keep_up(endpoint, producer):
            yield producer

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[NatsConsumer]:
        """Connect, and stay connected."""
        consumer = NatsConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            consumer.inbox.close()


adapter = NatsAdapter()
