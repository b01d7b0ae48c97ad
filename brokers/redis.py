"""Redis and Valkey publish/subscribe, through redis-py with hiredis. At most once: the broker keeps nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from brokers import inbox, tls
from brokers.api import Delivery, Gap, Message
from brokers.endpoint import BrokerError, Endpoint, refuse_history
from brokers.reconnect import HEARTBEAT_S, keep_up
from brokers.redis_link import Connection, Pipe, ResponseError, open_connection, send


class RedisProducer:
    """PUBLISH through one pipelined connection."""

    def __init__(self, endpoint: Endpoint, pipe: Pipe) -> None:
        self._endpoint = endpoint
        self._pipe = pipe
        self._submit = pipe.submit

    @property
    def connected(self) -> bool:
        """Whether the connection is up, as far as is known."""
        return self._pipe.connected

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the broker answered: it has written the message to every subscriber's connection."""
        try:
            await self._submit("PUBLISH", topic, payload)
        except ResponseError as error:
            raise BrokerError(self._endpoint, f"publish on '{topic}'", str(error), "see the broker's log") from None


class RedisConsumer:
    """One connection in subscriber mode; a `Line` for `keep_up`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.inbox = inbox.Inbox(endpoint.whole_number("buffer", inbox.DEFAULT_CAPACITY))
        self._connection: Connection | None = None
        self._topics: dict[bytes, str] = {}
        self._waiting: dict[tuple[bytes, bytes], deque[asyncio.Future[None]]] = {}
        self._cause: str | None = None
        self._resuming: set[bytes] = set()
        self._heard = False

    @property
    def connected(self) -> bool:
        """Whether the connection is up, as far as is known."""
        return self._connection is not None

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the broker confirmed each topic, which may be after a reconnect."""
        refuse_history(self._endpoint, since_ns)
        names = [topic.encode() for topic in topics]
        added = {name: topic for name, topic in zip(names, topics, strict=True) if name not in self._topics}
        self._topics |= added
        try:
            await self._confirmed(b"subscribe", names)
        except BaseException:
            for name in added:
                self._topics.pop(name, None)
            raise

    async def unsubscribe(self, *topics: str) -> None:
        """Return once the broker confirmed; while there is no connection there is nothing to wait for."""
        names = [topic.encode() for topic in topics if self._topics.pop(topic.encode(), None) is not None]
        self.inbox.discard(topics)
        if self._connection is not None:
            await self._confirmed(b"unsubscribe", names)

    async def _confirmed(self, action: bytes, names: list[bytes]) -> None:
        if not names:
            return
        futures = [asyncio.get_running_loop().create_future() for _ in names]
        for name, future in zip(names, futures, strict=True):
            self._waiting.setdefault((action, name), deque()).append(future)
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                if self._connection is not None:
                    await send(self._connection, self._connection.pack_command(action.upper(), *names))
                await asyncio.gather(*futures)
        except (TimeoutError, OSError) as error:
            cause = str(error) or f"no confirmation within {self._endpoint.timeout_s:g} s"
            what = f"{action.decode()} '{names[0].decode()}'"
            raise BrokerError(self._endpoint, what, cause, "check that the broker is up") from None

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def dial(self) -> Connection:
        """Connect."""
        return await open_connection(self._endpoint)

    async def serve(self, connection: Connection) -> None:
        """Subscribe again to what was subscribed, and read."""
        self._connection = connection
        if self._topics:
            self._resuming = set(self._topics)
            await send(connection, connection.pack_command("SUBSCRIBE", *self._topics))
        else:
            self._resumed()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(connection))
            tasks.create_task(self._beat(connection))

    async def _read(self, connection: Connection) -> None:
        topics, put = self._topics, self.inbox.put
        while True:
            reply = await connection.read_response()
            self._heard = True
            if reply[0] == b"message":
                topic = topics.get(reply[1])
                if topic is not None:
                    put(topic, reply[2])
            elif reply[0] in (b"subscribe", b"unsubscribe"):
                self._take_confirmation(reply[0], reply[1])

    def _take_confirmation(self, action: bytes, name: bytes) -> None:
        waiting = self._waiting.get((action, name))
        resumed = action == b"subscribe" and name in self._resuming
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)
            if not resumed:
                break
        if not waiting:
            self._waiting.pop((action, name), None)
        if resumed:
            self._resuming.discard(name)
            if not self._resuming:
                self._resumed()

    def _resumed(self) -> None:
        self.inbox.release(Gap(self._cause, None) if self._cause else None)
        self._cause = None

    async def _beat(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._heard = False
            await send(connection, connection.pack_command("PING"))
            await asyncio.sleep(self._endpoint.timeout_s)
            if not self._heard:
                raise TimeoutError

    def lost(self, cause: str) -> None:
        """Remember why, for the Gap; nothing is left to unsubscribe from."""
        self._connection = None
        self._resuming.clear()
        self.inbox.hold()
        if self._topics and self._cause is None:
            self._cause = f"connection lost: {cause}"
        for action, name in list(self._waiting):
            if action == b"unsubscribe":
                for future in self._waiting.pop((action, name)):
                    if not future.done():
                        future.set_result(None)

    async def hang_up(self, connection: Connection) -> None:
        """Close the socket."""
        await connection.disconnect(nowait=True)


class RedisAdapter:
    """`redis://[user:password@]host[:port]`, `rediss://` with TLS; the same for Valkey."""

    name = "redis"
    schemes = ("redis", "rediss")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    options = inbox.OPTION | tls.OPTION

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[RedisProducer]:
        """Connect, and stay connected."""
        pipe = Pipe(endpoint)
        async with keep_up(endpoint, pipe):
            yield RedisProducer(endpoint, pipe)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[RedisConsumer]:
        """Connect, and stay connected."""
        consumer = RedisConsumer(endpoint)
        try:
            async with keep_up(endpoint, consumer):
                yield consumer
        finally:
            consumer.inbox.close()


adapter = RedisAdapter()
