"""Redis and Valkey Cluster: sharded publish/subscribe (SPUBLISH), where the primary of a topic's slot serves the topic.

Each shard reconnects separately: when its node is lost or a slot moves, the slot map is read again and only this shard
is dialled again, with a Gap for each of its topics. The other shards' topics continue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from brokers import inbox, tls
from brokers.api import Consumer, Delivery, Gap, Message, Producer
from brokers.connection import Calls
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Address, Endpoint
from brokers.errors import BrokerError, CauseKind, Refusal, shown
from brokers.link import Link
from brokers.options import choice
from brokers.reconnect import keep_up, reason
from brokers.redis import adapter as classic
from brokers.redis_link import MAX_TOPIC_BYTES, Connection, RedisError, ResponseError, kind_of, ports, watch_primary
from brokers.redis_pipe import Pipe
from brokers.redis_primary import ROLE
from brokers.redis_shards import BySlot, ClusterMap, Nodes, ShardLinks, close_all, node, open_shard, shards_of
from brokers.redis_subscriber import SHARDED, Subscriber
from brokers.topic_names import TopicNames

PUBSUB = choice(
    "pubsub", "sharded: on the primary of the topic's slot; classic: on all nodes", ("sharded", "classic"), "sharded"
)
_BLIP_S = 0.5


async def _named(address: Address, work: Coroutine[Any, Any, None]) -> None:
    """Add to an error which node failed."""
    try:
        await work
    except (OSError, RedisError) as error:
        raise ConnectionError(f"{address}: {reason(error)}") from error


class _ProducerShard:
    """A pipelined connection to each primary of a shard. A `ReconnectLoop` for `keep_up`."""

    def __init__(self, endpoint: Endpoint, cluster: ClusterMap, slots: Sequence[int]) -> None:
        self.link = Link(endpoint)
        self.kind_of = kind_of
        self._endpoint = endpoint
        self._cluster = cluster
        self._slots = slots
        self._nodes: Nodes[Connection] | None = None
        self._pipes: dict[Address, Pipe] = {}
        self._down = Pipe(endpoint)

    def pipe(self, name: str) -> Pipe:
        """The connection to the primary of a name's slot."""
        return self._down if self._nodes is None else self._pipes[self._nodes.owner(name)]

    async def dial(self) -> Nodes[Connection]:
        """Connect to every primary of the shard."""
        return await open_shard(self.link.target, self._cluster, self._slots)

    async def serve(self, nodes: Nodes[Connection]) -> None:
        """Serve until one of the connections is lost."""
        self._pipes = {address: Pipe(node(self._endpoint, address), self.link) for address in nodes.each}
        self._nodes = nodes
        async with asyncio.TaskGroup() as tasks:
            for address, connection in nodes.each.items():
                tasks.create_task(_named(address, self._pipes[address].serve(connection)))

    def lost(self, cause: str) -> None:
        """Fail the callers that wait for a reply."""
        self._nodes = None
        for pipe in (*self._pipes.values(), self._down):
            pipe.lost(cause)

    async def hang_up(self, nodes: Nodes[Connection]) -> None:
        """Close the sockets."""
        await close_all(nodes)


class RedisClusterProducer:
    """Sends SPUBLISH to each topic's shard."""

    def __init__(self, endpoint: Endpoint, shards: BySlot[_ProducerShard]) -> None:
        self.link = ShardLinks([shard.link for shard in shards.all])
        self._names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self._shards = shards

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the primary of the topic's slot answered."""
        name = self._names.of(topic)
        pipe = self._shards.of(name).pipe(name)
        try:
            await pipe.submit("SPUBLISH", name, payload)
        except ResponseError as error:
            raise pipe.failed(topic, error) from None


class _ConsumerShard:
    """A connection in subscriber mode to each primary of a shard."""

    def __init__(self, endpoint: Endpoint, cluster: ClusterMap, slots: Sequence[int], into: inbox.Inbox) -> None:
        self._endpoint = endpoint
        self._cluster = cluster
        self._slots = slots
        self._inbox = into
        self._lost_s = 0.0
        calls = Calls(self._open, self._serve, self._hang_up, (OSError, RedisError), kind_of)
        lane = inbox.Lane(into, lambda: self.line.topics.values())
        self.line = ConsumerConnection(endpoint, lane, calls, self._send, TopicNames(endpoint, MAX_TOPIC_BYTES))

    async def subscribe(self, topics: Sequence[str], since_ns: int | None) -> dict[str, Refusal]:
        """See `Consumer`.

        Raises:
            BrokerError: the shard is lost, except for a blip: other shards' topics need not wait for it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._lost_s + _BLIP_S):
                while not self.line.link.connected:
                    await self.line.link.changed()
        if not self.line.link.connected:
            action, cause = f"subscribe {shown(topics[0])}", f"its shard is lost: {self.line.link.cause}"
            raise BrokerError(self._endpoint, action, cause, CauseKind.LOST)
        return await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Stop yielding at once; return once the broker confirmed or a connection is lost."""
        names = self.line.forget(topics)
        if names and (nodes := self.line.connection) is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    for subscriber, some in nodes.by_slot(names):
                        await subscriber.unsubscribe(some)

    async def _open(self, endpoint: Endpoint) -> Nodes[Subscriber]:
        nodes = await open_shard(endpoint, self._cluster, self._slots)
        end = self._inbox.end_read
        return nodes.of(lambda connection: Subscriber(connection, self._endpoint, SHARDED, self._take, end))

    async def _hang_up(self, nodes: Nodes[Subscriber]) -> None:
        await close_all(nodes.of(lambda subscriber: subscriber.connection))

    def _take(self, name: str, payload: bytes) -> None:
        if name in self.line.topics:
            self._inbox.put(name, payload)

    async def _send(self, nodes: Nodes[Subscriber], names: Sequence[str]) -> Mapping[str, Refusal]:
        for subscriber, some in nodes.by_slot(names):
            await subscriber.subscribe(some, new=nodes is not self.line.connection)
        return {}

    async def _serve(self, nodes: Nodes[Subscriber]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for address, subscriber in nodes.each.items():
                    itself = node(self._endpoint, address)
                    tasks.create_task(_named(address, subscriber.serve()))
                    tasks.create_task(_named(address, watch_primary(itself, subscriber.connection, itself=True)))
        finally:
            self._lost_s = asyncio.get_running_loop().time()


class RedisClusterConsumer:
    """Consumes from the shards of a cluster, whose messages share one buffer."""

    def __init__(self, endpoint: Endpoint, into: inbox.Inbox, shards: BySlot[_ConsumerShard]) -> None:
        self.link = ShardLinks([shard.line.link for shard in shards.all])
        self._inbox = into
        self._names = TopicNames(endpoint, MAX_TOPIC_BYTES)
        self._shards = shards

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the primary of each topic's slot confirmed or refused it."""
        names, refused = self._names.sort_out(topics)
        by_shard = self._shards.sorted(names)
        added = [name for shard, some in by_shard.items() for name in some if name not in shard.line.topics]
        asked = [shard.subscribe(some, since_ns) for shard, some in by_shard.items()]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                await self.unsubscribe(*added)
                raise answer
            refused |= answer
        return refused

    async def unsubscribe(self, *topics: str) -> None:
        """Stop yielding at once; return once the broker confirmed or a connection is lost."""
        by_shard = self._shards.sorted(self._names.known(topics))
        await asyncio.gather(*(shard.unsubscribe(some) for shard, some in by_shard.items()))

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self._inbox


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
        cluster = ClusterMap()
        slots = await shards_of(endpoint, cluster)
        shards = [_ProducerShard(endpoint, cluster, some) for some in slots]
        async with AsyncExitStack() as stack:
            for shard in shards:
                await stack.enter_async_context(keep_up(endpoint, shard))
            yield RedisClusterProducer(endpoint, BySlot(slots, shards))

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[Consumer]:
        """Connect, and stay connected."""
        if endpoint.get(PUBSUB) == "classic":
            async with classic.consumer(_any_node(endpoint)) as one:
                yield one
            return
        cluster, into = ClusterMap(), inbox.Inbox(endpoint.get(inbox.BUFFER), tells_end=True)
        slots = await shards_of(endpoint, cluster)
        shards = [_ConsumerShard(endpoint, cluster, some, into) for some in slots]
        async with AsyncExitStack() as stack:
            stack.callback(into.close)
            for shard in shards:
                await stack.enter_async_context(keep_up(endpoint, shard.line))
            yield RedisClusterConsumer(endpoint, into, BySlot(slots, shards))


def _any_node(endpoint: Endpoint) -> Endpoint:
    """The endpoint for classic PUBLISH: any node of a cluster, whatever its role, passes publishes on to all others."""
    scheme = endpoint.scheme.removesuffix("+cluster")
    return replace(endpoint, scheme=scheme, options=endpoint.options | {ROLE.name: "any"})


adapter = RedisClusterAdapter()
