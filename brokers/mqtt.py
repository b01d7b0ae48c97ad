"""MQTT 3.1.1, through aiomqtt (paho inside): Mosquitto, and the MQTT listeners of nats-server and RabbitMQ.

QoS 0 is at most once. QoS 1 is at least once: the broker keeps a session for each consumer and sends what it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial

from brokers import inbox, tls
from brokers.api import Delivery, Gap, Message
from brokers.connection import TOPICS, ConsumerConnection, ProducerConnection
from brokers.endpoint import BrokerError, Endpoint
from brokers.mqtt_link import PORTS, Client, MqttError, MqttSink, calls, connect, disconnect, new_client
from brokers.reconnect import finish, keep_up, uncancelled

_SPECIAL = re.compile(r"[+#*.%\x00]|^\$")


@lru_cache(TOPICS)
def mqtt_topic(topic: str) -> str:
    """The same word, with percent codes for what MQTT gives a meaning of its own.

    And for `.` and `*`: RabbitMQ turns `/` and `+` into them, and back, so that `a.b` and `a/b` would be one topic.
    """
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", topic)


class MqttProducer:
    """QoS by the endpoint's delivery."""

    def __init__(self, line: ProducerConnection[Client]) -> None:
        self._line = line
        self._qos = qos_of(line.endpoint)

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 0: return once the message is written to the socket. QoS 1: once the broker acknowledged it."""
        client = self._line.connection
        if client is None:
            raise self._line.failed(topic)
        try:
            await uncancelled(client.publish(mqtt_topic(topic), payload, self._qos))
        except (MqttError, ValueError) as error:
            raise self._line.failed(topic, error) from None
        if self._line.connection is not client:  # lost before the broker's answer, see `disconnect`
            raise self._line.failed(topic)


class MqttConsumer:
    """With QoS 1 it has a session, which the broker keeps while the connection is lost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._qos = qos_of(endpoint)
        self._session = f"fanbench-{secrets.token_hex(8)}" if self._qos else None
        self.inbox = inbox.Inbox(endpoint.whole_number("buffer", inbox.DEFAULT_CAPACITY))
        client = partial(new_client, endpoint, self._session, MqttSink(self._take), clean=not self._qos)
        self.line = ConsumerConnection(endpoint, self.inbox, calls(endpoint, client), self._send, mqtt_topic)
        self._topics = self.line.topics
        self._known = False
        """Whether the broker may keep a session with subscriptions."""

    def _take(self, name: str, payload: bytes) -> None:
        topic = self._topics.get(name)
        if topic is not None:
            self.inbox.put(topic, payload)

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> None:
        """Return once the broker confirmed, which may be after a reconnect."""
        await self.line.subscribe(topics, since_ns)

    async def _send(self, client: Client, names: Sequence[str]) -> None:
        self._known = True
        codes = await uncancelled(client.subscribe([(name, self._qos) for name in names]))
        refused = [name for name, code in zip(names, codes, strict=True) if getattr(code, "is_failure", code == 128)]
        if refused:
            raise MqttError(f"the broker refused '{refused[0]}'")

    async def unsubscribe(self, *topics: str) -> None:
        """Stop at once here, and tell the broker; without a connection the next one does not subscribe."""
        names = self.line.forget(topics)
        if names and self.line.connection is not None:
            with contextlib.suppress(MqttError):
                await uncancelled(self.line.connection.unsubscribe(names))

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def forget_session(self) -> None:
        """Take the session and its queue off the broker: a client of the same name that wants a clean one."""
        if self._session is not None and self._known:
            with contextlib.suppress(BrokerError, MqttError, OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    await disconnect(await connect(self._endpoint, new_client(self._endpoint, self._session)))


def qos_of(endpoint: Endpoint) -> int:
    """The QoS that the promise asks for."""
    return 1 if endpoint.delivery == "at-least-once" else 0


class MqttAdapter:
    """`mqtt://[user:password@]host[:port]`, `mqtts://` with TLS."""

    name = "mqtt"
    schemes = ("mqtt", "mqtts")
    deliveries: tuple[Delivery, ...] = ("at-most-once", "at-least-once")
    delivery_options: Mapping[str, Mapping[str, Delivery]] = {"qos": {"0": "at-most-once", "1": "at-least-once"}}
    replay = False
    default_port = PORTS["mqtt"]
    options = {"qos": "0 or 1, in place of naming the delivery"} | inbox.OPTION | tls.OPTION

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[MqttProducer]:
        """Connect, and stay connected."""
        line = ProducerConnection(endpoint, calls(endpoint, partial(new_client, endpoint)))
        async with keep_up(endpoint, line):
            yield MqttProducer(line)

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[MqttConsumer]:
        """Connect, and stay connected."""
        consumer = MqttConsumer(endpoint)
        try:
            with contextlib.closing(consumer.inbox):
                async with keep_up(endpoint, consumer.line):
                    yield consumer
        finally:
            await finish(consumer.forget_session())


adapter = MqttAdapter()
