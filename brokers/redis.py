"""Redis and Valkey publish/subscribe, through redis-py with hiredis. At most once: the broker keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

from brokers import inbox, tls
from brokers.api import Delivery, Gap, Message
from brokers.endpoint import BrokerError, Endpoint
from brokers.lines import Calls, ConsumerLine
from brokers.reconnect import heartbeat_s, keep_up
from brokers.redis_link import DEFAULT_PORT, Connection, Pipe, RedisError, ResponseError, close, open_connection, send


class RedisProducer:
    """PUBLISH through one pipelined connection."""

    def __init__(self, endpoint: Endpoint, pipe: Pipe) -> None:
        self._endpoint = endpoint
        self._pipe = pipe
        self._submit = pipe.submit

    async def publish(self, topic: str, payload: bytes) -> None:
        """Return once the broker answered: it has written the message to every subscriber's connection."""
        try:
            await self._submit("PUBLISH", topic, payload)
        except ResponseError as error:
            raise BrokerError(self._endpoint, f"publish on '{topic}'", str(error), "see the broker's log") from None


class RedisConsumer:
    """One connection in subscriber mode."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.inbox = inbox.Inbox(endpoint.whole_number("buffer", inbox.DEFAULT_CAPACITY))
        calls = Calls(self._dial, self._serve, close, (OSError, RedisError))
        self.line = ConsumerLine(endpoint, self.inbox, calls, self._send)
        self._waiting: dict[tuple[bytes, bytes], deque[asyncio.Future[None]]] = defaultdict(deque)
        """For the broker's confirmation of an action on a topic, in the order of the commands."""
        self._heard = False

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the broker confirmed each topic, which may be after a reconnect."""
        await self.line.subscribe(topics, since_ns)

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and return once the broker confirmed or the connection is lost."""
        names = self.line.forget(topics)
        if names and self.line.connection is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    await self._confirmed(self.line.connection, b"unsubscribe", names)

    async def _send(self, connection: Connection, names: Sequence[str]) -> None:
        if connection is self.line.connection:
            await self._confirmed(connection, b"subscribe", names)
            return
        # A new connection: the confirmations are the first that comes.
        await send(connection, connection.pack_command("SUBSCRIBE", *names))
        for _ in names:
            await connection.read_response()

    async def _confirmed(self, connection: Connection, action: bytes, names: Sequence[str]) -> None:
        futures = [asyncio.get_running_loop().create_future() for _ in names]
        for name, future in zip(names, futures, strict=True):
            self._waiting[action, name.encode()].append(future)
        await send(connection, connection.pack_command(action.decode().upper(), *names))
        await asyncio.gather(*futures)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def _dial(self) -> Connection:
        return await open_connection(self._endpoint)

    async def _serve(self, connection: Connection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(connection))
                tasks.create_task(self._beat(connection))
        finally:
            waiting, self._waiting = self._waiting, defaultdict(deque)
            for future in chain.from_iterable(waiting.values()):
                if not future.done():
                    future.set_exception(ConnectionError("connection lost"))

    async def _read(self, connection: Connection) -> None:
        topics, put = self.line.topics, self.inbox.put
        names: dict[bytes, str] = {}
        while True:
            reply = await connection.read_response()
            self._heard = True
            if reply[0] == b"message":
                name = names.get(reply[1])
                if name is None:
                    name = names[reply[1]] = reply[1].decode()
                if name in topics:
                    put(name, reply[2])
            elif (reply[0], reply[1]) in self._waiting:
                waiting = self._waiting[reply[0], reply[1]]
                future = waiting.popleft()
                if not waiting:
                    del self._waiting[reply[0], reply[1]]
                if not future.done():
                    future.set_result(None)

    async def _beat(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(heartbeat_s(self._endpoint))
            self._heard = False
            await send(connection, connection.pack_command("PING"))
            await asyncio.sleep(self._endpoint.timeout_s)
            if not self._heard:
                raise TimeoutError


class RedisAdapter:
    """`redis://[user:password@]host[:port]`, `rediss://` with TLS; the same for Valkey."""

    name = "redis"
    schemes = ("redis", "rediss")
    deliveries: tuple[Delivery, ...] = ("at-most-once",)
    replay = False
    default_port = DEFAULT_PORT
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
        with contextlib.closing(consumer.inbox):
            async with keep_up(endpoint, consumer.line):
                yield consumer


adapter = RedisAdapter()
