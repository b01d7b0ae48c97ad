"""The tools that prove promises: a broker, its endpoints, and readers with deadlines."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from brokers.api import Adapter, Consumer, Gap, Message, Producer
from brokers.conformance.provocations import NOTHING, Provocations, provocations_of
from brokers.contender import Contender
from brokers.endpoint import Address, Endpoint
from brokers.programs.cluster import Cluster
from brokers.programs.running import Running
from brokers.redaction import take_apart
from brokers.registry import open_endpoint
from core.tcp_proxy import TcpProxy

Promise = Callable[..., Coroutine[Any, Any, None]]
DEADLINE_S = 20.0
"""Deadline for things that must happen; a noisy machine may be slow."""
FIRST_STREAM_S = 2.0


class BrokenPromiseError(AssertionError):
    """A promise that was not kept."""


def needs(*features: str) -> Callable[[Promise], Promise]:
    """Test a promise only if all of these requirements are met: link, program, replay, at-least-once."""

    def mark(promise: Promise) -> Promise:
        promise.needs = features  # type: ignore[attr-defined]
        return promise

    return mark


def require(condition: object, what: str) -> None:
    """Raise BrokenPromiseError with `what` unless the condition holds."""
    if not condition:
        raise BrokenPromiseError(what)


class MessageReader:
    """Iterates a consumer in a task and keeps its messages."""

    def __init__(self, consumer: Consumer) -> None:
        self.messages: list[Message] = []
        self.gaps: list[Gap] = []
        self.consumer = consumer
        self._came = asyncio.Event()

    async def read(self) -> None:
        """Keep the messages until the consumer is closed."""
        async for item in self.consumer:
            self.messages.append(item) if isinstance(item, Message) else self.gaps.append(item)
            self._came.set()

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of all messages so far."""
        return [message.payload for message in self.messages]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a message makes the condition true."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise BrokenPromiseError(
                f"{what}: not within {DEADLINE_S:g} s; {len(self.messages)} messages and {self.gaps or 'no gap'} came"
            ) from None

    async def count(self, messages: int) -> None:
        """Wait for that many messages."""
        await self.until(lambda: len(self.messages) >= messages, f"{messages} messages")


@dataclass(frozen=True, slots=True)
class Workbench:
    """A contender whose broker answers."""

    contender: Contender
    url: str
    running: Running | Cluster | None
    folder: Path
    provocations: Provocations = NOTHING

    @property
    def adapter(self) -> Adapter:
        """The contender's adapter."""
        return open_endpoint(self.url, self.contender.delivery)[0]

    def endpoint(self, url: str | None = None, **options: object) -> Endpoint:
        """The contender's endpoint, or that of another URL, with more URL options."""
        return open_endpoint(with_options(url or self.url, options), self.contender.delivery)[1]

    def topic(self) -> str:
        """A topic that nobody has used before."""
        return f"conformance-{secrets.token_hex(6)}"

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint | None = None) -> AsyncIterator[Producer]:
        """A connected producer."""
        async with self.adapter.producer(endpoint or self.endpoint()) as producer:
            yield producer

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint | None = None) -> AsyncIterator[Consumer]:
        """A connected consumer whose messages nobody reads."""
        async with self.adapter.consumer(endpoint or self.endpoint()) as consumer:
            yield consumer

    @asynccontextmanager
    async def reader(
        self, *topics: str, endpoint: Endpoint | None = None
    ) -> AsyncIterator[tuple[Consumer, MessageReader]]:
        """A consumer subscribed to the topics, and the task that reads it."""
        async with self.consumer(endpoint) as consumer:
            if topics:
                await consumer.subscribe(*topics)
            async with reading(consumer) as reader:
                yield consumer, reader

    @contextmanager
    def proxy(self, tap: Callable[[bytes], None] | None = None) -> Iterator[tuple[TcpProxy, Endpoint]]:
        """A proxy in front of the broker's first host, and the endpoint through it; `tap` gets the sent bytes."""
        with TcpProxy(str(self.address), tap=tap) as proxy:
            yield proxy, self.endpoint(with_address(self.url, proxy.address))

    @property
    def address(self) -> Address:
        """The broker's first host, to which a proxy passes connections on."""
        return self.endpoint().hosts[0]

    @contextmanager
    def guarded(self) -> Iterator[tuple[str, str, str]]:
        """URL, user and password of a broker of this kind that requires a password."""
        endpoint = self.endpoint()
        if endpoint.password:
            yield self.url, endpoint.username or "", endpoint.password
            return
        if self.running is not None and self.running.credentials is not None:
            yield self.url, *self.running.credentials
            return
        with self.contender.started(self.folder / "guarded", "password") as running:
            assert running.credentials is not None
            yield self.contender.url.format_map(running.listeners), *running.credentials


def payload_bound(broker: Workbench) -> int:
    """The largest payload that the adapter declares, regardless of its content; 0 if it declares none."""
    return int(getattr(broker.adapter, "max_payload_bytes", 0))


def has_link(endpoint: Endpoint) -> bool:
    """Whether a proxy can be put in front of the broker: its port is known, and the URL is neither a socket path nor one that redirects."""
    return endpoint.port is not None and not tells_addresses(endpoint)


def tells_addresses(endpoint: Endpoint) -> bool:
    """Whether the URL's hosts announce the servers' addresses, which bypass a proxy."""
    return endpoint.scheme.endswith(("+sentinel", "+cluster"))


@asynccontextmanager
async def reading(consumer: Consumer) -> AsyncIterator[MessageReader]:
    """Read a consumer in a task while the block runs."""
    reader = MessageReader(consumer)
    task = asyncio.create_task(reader.read())
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


@contextmanager
def benched(contender: Contender, folder: Path) -> Iterator[Workbench]:
    """Run the contender's program, if it has one."""
    with contender.launched(folder) as broker:
        workbench = Workbench(contender, broker.url, broker.running, folder, provocations_of(contender.name))
        settle(workbench)
        yield workbench


def settle(workbench: Workbench) -> None:
    """Wait: RabbitMQ 3.10 forgets its first stream's coordinator if it is killed within a second of creating it."""

    async def connect_once() -> None:
        async with workbench.producer():
            pass

    if workbench.adapter.name == "rabbitmq-stream" and workbench.running is not None:
        asyncio.run(connect_once())
        time.sleep(FIRST_STREAM_S)


def with_options(url: str, options: dict[str, object]) -> str:
    """The URL with more options."""
    query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
    return url + ("&" if "?" in url else "?") + query if query else url


def with_address(url: str, address: str) -> str:
    """The URL with another host and port, or several, and its user and password."""
    start, userinfo, at, rest = take_apart(url)
    end = next((i for i, letter in enumerate(rest) if letter in "/?"), len(rest))
    return f"{start}{userinfo}{at}{address}{rest[end:]}"


def with_credentials(url: str, user: str, password: str) -> str:
    """The URL with another user and password."""
    start, _, _, rest = take_apart(url)
    return f"{start}{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
