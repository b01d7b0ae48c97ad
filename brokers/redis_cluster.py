"""Redis and Valkey Cluster: sharded publish/subscribe (SPUBLISH), where each topic lives on the primary of its slot.

A side has a connection to each primary. They are one connection to whoever keeps it up: when a node is lost or a slot
moves, the map of slots is read anew and all are dialled anew, with a Gap.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

from redis.crc import key_slot

from brokers import inbox, tls
from brokers.api import Consumer, Delivery, Gap, Message, Producer
from brokers.connection import Calls
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Address, Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.options import choice
from brokers.reconnect import finish, keep_up, quietly
from brokers.redis import adapter as classic
from brokers.redis_link import (
    MAX_TOPIC_BYTES,
    Connection,
    RedisError,
    ResponseError,
    close,
    kind_of,
    open_connection,
    ports,
    slot_owners,
    watch_primary,
)
from brokers.redis_pipe import Pipe
from brokers.redis_primary import ROLE
from brokers.redis_subscriber import SHARDED, Subscriber
from brokers.topic_names import TopicNames

PUBSUB = choice(
    "pubsub", "sharded: on the primary of the topic's slot; classic: on all nodes", ("sharded", "classic"), "sharded"
)


N = TypeVar("N")
M = TypeVar("M")


class _Nodes(Generic[N]):
    """Something for each primary, such as its connection, and which of them has a name's slot."""

    def __init__(self, owners: Sequence[Address], each: Mapping[Address, N]) -> None:
        self._owners = owners
        self.each = each

    def of(self, make: Callable[[N], M]) -> _Nodes[M]:
        """Something else for each."""
        return _Nodes(self._owners, {address: make(one) for address, one in self.each.items()})

    def owner(self, name: str) -> Address:
        """The primary of the slot of a name."""
        return self._owners[key_slot(name.encode())]


async def _open(endpoint: Endpoint) -> _Nodes[Connection]:
    """Ask the endpoint's one host for the map of slots, and connect to every primary in it."""
    owners = await slot_owners(endpoint)
    connections: dict[Address, Connection] = {}
    try:
        for address in dict.fromkeys(owners):
            connections[address] = await open_connection(_node(endpoint, address))
    except BaseException:
        await finish(quietly(_close(_Nodes(owners, connections)), endpoint.timeout_s))
        raise
    return _Nodes(owners, connections)


def _node(endpoint: Endpoint, address: Address) -> Endpoint:
    """The endpoint of one node: by its address, and not by the map of slots again."""
    return replace(endpoint.at(address), scheme=endpoint.scheme.removesuffix("+cluster"))


async def _close(nodes: _Nodes[Connection]) -> None:
    for connection in nodes.each.values():
        await close(connection)


class RedisClusterProducer:
    """SPUBLISH through one pipelined connection to each primary. A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self._nodes: _Nodes[Connection] | None = None
        self._pipes: dict[Address, Pipe] = {}
        self._down = Pipe(endpoint)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the primary of the topic's slot answered."""
        name = self._names.of(topic)
        pipe = self._down if self._nodes is None else self._pipes[self._nodes.owner(name)]
        try:
            await pipe.submit("SPUBLISH", name, payload)
        except ResponseError as error:
            raise pipe.failed(topic, error) from None

    async def dial(self) -> _Nodes[Connection]:
        """Connect to every primary."""
        return await _open(self.link.target)

    async def serve(self, nodes: _Nodes[Connection]) -> None:
        """Until one of the connections is lost."""
        self._pipes = {address: self._pipe(address) for address in nodes.each}
        self._nodes = nodes
        async with asyncio.TaskGroup() as tasks:
            for address, connection in nodes.each.items():
                tasks.create_task(self._pipes[address].serve(connection))

    def _pipe(self, address: Address) -> Pipe:
        return Pipe(_node(self._endpoint, address), self.link)

    def lost(self, cause: str) -> None:
        """Fail what waits for a reply."""
        self._nodes = None
        for pipe in (*self._pipes.values(), self._down):
            pipe.lost(cause)

    async def hang_up(self, nodes: _Nodes[Connection]) -> None:
        """Close the sockets."""
        await _close(nodes)


class RedisClusterConsumer:
    """A connection in subscriber mode to each primary."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        calls = Calls(self._open, self._serve, self._hang_up, (OSError, RedisError), kind_of)
        self.line = ConsumerConnection(endpoint, self.inbox, calls, self._send, TopicNames(endpoint, MAX_TOPIC_BYTES))

    @property
    def link(self) -> Link:
        """Whether all connections are up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the primary of each topic's slot confirmed or refused it, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and return once the broker confirmed or a connection is lost."""
        names = self.line.forget(topics)
        if names and (nodes := self.line.connection) is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    for address, some in _by_slot(nodes, names):
                        await nodes.each[address].unsubscribe(some)

    async def _open(self, endpoint: Endpoint) -> _Nodes[Subscriber]:
        nodes = await _open(endpoint)
        return nodes.of(lambda connection: Subscriber(connection, self._endpoint, SHARDED, self._take))

    async def _hang_up(self, nodes: _Nodes[Subscriber]) -> None:
        await _close(nodes.of(lambda subscriber: subscriber.connection))

    def _take(self, name: str, payload: bytes) -> None:
        if name in self.line.topics:
            self.inbox.put(name, payload)

    async def _send(self, nodes: _Nodes[Subscriber], names: Sequence[str]) -> Mapping[str, Refusal]:
        for address, some in _by_slot(nodes, names):
            await nodes.each[address].subscribe(some, new=nodes is not self.line.connection)
        return {}

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def _serve(self, nodes: _Nodes[Subscriber]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for address, subscriber in nodes.each.items():
                node = _node(self._endpoint, address)
                tasks.create_task(subscriber.serve())
                tasks.create_task(watch_primary(node, node, itself=True))


def _by_slot(nodes: _Nodes[Any], names: Iterable[str]) -> list[tuple[Address, list[str]]]:
    """The names by slot, which is what one command may hold, with the address of its primary."""
    slots: dict[int, list[str]] = {}
    for name in names:
        slots.setdefault(key_slot(name.encode()), []).append(name)
    return [(nodes.owner(some[0]), some) for some in slots.values()]


class RedisClusterAdapter:
    """`redis+cluster://[user:password@]host[:port][,host[:port]…]`, `rediss+cluster://` with TLS."""

    name = "redis-cluster"
    schemes = ("redis+cluster", "rediss+cluster")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports = ports(*schemes)
    options = (inbox.BUFFER, PUBSUB, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[Producer]:
        """Connect, and stay connected."""
        if endpoint.get(PUBSUB) == "classic":
            async with classic.producer(_any_node(endpoint)) as one:
                yield one
            return
        producer = RedisClusterProducer(endpoint)
        async with keep_up(endpoint, producer):
            yield producer

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[Consumer]:
        """Connect, and stay connected."""
        if endpoint.get(PUBSUB) == "classic":
            async with classic.consumer(_any_node(endpoint)) as one:
                yield one
            return
        consumer = RedisClusterConsumer(endpoint)
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


def _any_node(endpoint: Endpoint) -> Endpoint:
    """Each node of a cluster hands what is published on to all others, whatever its role."""
    scheme = endpoint.scheme.removesuffix("+cluster")
    return replace(endpoint, scheme=scheme, options=endpoint.options | {ROLE.name: "any"})


adapter = RedisClusterAdapter()
