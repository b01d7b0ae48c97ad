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
from functools import partial

from brokers import inbox, tls
from brokers.api import Delivery, Gap, Message
from brokers.connection import ProducerConnection
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import Endpoint
from brokers.errors import Refusal
from brokers.link import Link
from brokers.mqtt_link import (
    MAX_TOPIC_BYTES,
    PORTS,
    Client,
    MqttError,
    MqttSink,
    calls,
    connect,
    disconnect,
    new_client,
    refusal_of_code,
)
from brokers.options import choice
from brokers.reconnect import finish, keep_up, uncancelled
from brokers.topic_names import TopicNames

QOS = choice("qos", "in place of naming the delivery", ("0", "1"), "", "0")
_SPECIAL = re.compile(r"[+#*.%\x00]|^\$")


def mqtt_topic(topic: str) -> str:
    """The same word, with percent codes for what MQTT gives a meaning of its own.

    And for `.` and `*`: RabbitMQ turns `/` and `+` into them, and back, so that `a.b` and `a/b` would be one topic.
    """
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02X}", topic)


class MqttProducer:
    """QoS by the endpoint's delivery."""

    def __init__(self, line: ProducerConnection[Client]) -> None:
        self._line = line
        self._name_of = line.name_of
        self.link = line.link
        self._qos = qos_of(line.endpoint)

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 0: return once the message is written to the socket. QoS 1: once the broker acknowledged it."""
        client = self._line.connection
        if client is None:
            raise self._line.failed(topic)
        try:
            await uncancelled(client.publish(self._name_of(topic), payload, self._qos))
        except (MqttError, ValueError) as error:
            raise self._line.failed(topic, error) from None
        if self._line.connection is not client:  # lost before the broker's answer, see `disconnect`
            raise self._line.failed(topic)


class MqttConsumer:
    """With QoS 1 it has a session, which the broker keeps while the connection is lost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._qos = qos_of(endpoint)
        self._session = f"{endpoint.prefix}-{secrets.token_hex(8)}" if self._qos else None
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        client = partial(new_client, session=self._session, sink=MqttSink(self._take), clean=not self._qos)
        names = topic_names(endpoint)
        self.line = ConsumerConnection(endpoint, self.inbox, calls(client), self._send, names)
        self._topics = self.line.topics
        self._known = False
        """Whether the broker may keep a session with subscriptions."""

    def _take(self, name: str, payload: bytes) -> None:
        topic = self._topics.get(name)
        if topic is not None:
            self.inbox.put(topic, payload)

    @property
    def link(self) -> Link:
        """Whether the connection is up."""
        return self.line.link

    async def subscribe(self, *topics: str, since_ns: int | None = None) -> dict[str, Refusal]:
        """Return once the broker confirmed or refused each, which may be after a reconnect."""
        return await self.line.subscribe(topics, since_ns)

    async def _send(self, client: Client, names: Sequence[str]) -> Mapping[str, Refusal]:
        self._known = True
        codes = await uncancelled(client.subscribe([(name, self._qos) for name in names]))
        answers = zip(names, map(refusal_of_code, codes), strict=True)
        return {name: refusal for name, refusal in answers if refusal is not None}

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
            with contextlib.suppress(MqttError, OSError, TimeoutError):
                async with asyncio.timeout(self._endpoint.timeout_s):
                    await disconnect(await connect(new_client(self._endpoint, self._session)))


def topic_names(endpoint: Endpoint) -> TopicNames:
    """Topics as MQTT's, none with a wildcard."""
    return TopicNames(endpoint, MAX_TOPIC_BYTES, mqtt_topic)


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
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports: Mapping[str, int] = PORTS
    options = (QOS, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[MqttProducer]:
        """Connect, and stay connected."""
        line = ProducerConnection(endpoint, calls(new_client), topic_names(endpoint))
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
