"""MQTT 3.1.1 and 5, through aiomqtt (paho inside): Mosquitto, and the MQTT listeners of nats-server and RabbitMQ.

QoS 0 is at most once. QoS 1 is at least once: the broker keeps a session for each consumer and sends what it missed. If
a replica is killed, its session must not stay forever: docs/decisions/0010-mqtt-sessions.md.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from brokers import inbox, mqtt_sessions, tls
from brokers.api import Delivery, Gap, Message
from brokers.connection import ProducerConnection
from brokers.consumer_connection import ConsumerConnection
from brokers.endpoint import RUN_NAME, Endpoint
from brokers.errors import Refusal, TopicRefusedError
from brokers.link import Link
from brokers.mqtt_client import PORTS, ClientPlan
from brokers.mqtt_link import Connection, MqttError, calls, connect, disconnect
from brokers.mqtt_names import MAX_TOPIC_BYTES, topic_names
from brokers.mqtt_scout import Scout
from brokers.mqtt_suspects import Suspects
from brokers.options import choice, text, whole_number
from brokers.reconnect import finish, keep_up, quietly
from core.errors import UsageError

QOS = choice("qos", "alternative to naming the delivery", ("0", "1"), "", "0")
VERSION = choice("version", "protocol version", ("3.1.1", "5"), "", "5 with QoS 1, else 3.1.1")
CLIENT_ID = text("client_id", "client id of the consumer, one for each replica; the producer's gets the suffix -producer",
                 "", "a new one")  # fmt: skip
SESSION_EXPIRY = whole_number(
    "session_expiry_s",
    "seconds for which the broker keeps the session of a lost QoS 1 consumer, with version 5",
    60,
    most=2**32 - 1,
)


class MqttProducer:
    """Publishes with the QoS that the endpoint's delivery needs."""

    def __init__(self, endpoint: Endpoint) -> None:
        plan = _producer_plan(endpoint)
        asked = replace(calls(lambda at: Connection(at, plan)), serve=self._serve)
        self._line = ProducerConnection(endpoint, asked, topic_names(endpoint))
        self._name_of = self._line.name_of
        self.line, self.link = self._line, self._line.link
        self._qos = qos_of(endpoint)
        scouting = replace(plan, identifier=f"{plan.identifier}-scout")
        self.suspects = Suspects(lambda: Connection(self.link.target, scouting))
        self._settled = self.suspects.settled

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.until_lost()
        finally:
            self.suspects.lost()

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 0: return once the message is written to the socket. QoS 1: once the broker acknowledged it."""
        connection = self._line.connection
        if connection is None:
            raise self._line.failed(topic)
        name = self._name_of(topic)
        try:
            if name not in self._settled and not self.suspects.settle(name):
                refusal = await self.suspects.publish(name, payload)
                if refusal is not None:
                    raise TopicRefusedError(self._line.endpoint, "publish on", topic, refusal)
                return
            await connection.publish(name, payload, self._qos)
        except (MqttError, OSError, ValueError) as error:
            raise self._line.failed(topic, error) from None


class MqttConsumer:
    """With QoS 1 it has a session, which the broker keeps while the connection is lost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._plan = _consumer_plan(endpoint)
        self._qos = qos_of(endpoint)
        self._noted = self._keeps and bool(endpoint.get(RUN_NAME)) and not endpoint.get(CLIENT_ID)
        self.inbox = inbox.Inbox(endpoint.get(inbox.BUFFER))
        asked = replace(calls(self._new), dial=self._dial)
        self.line = ConsumerConnection(endpoint, self.inbox, asked, self._send, topic_names(endpoint))
        self._topics = self.line.topics
        self._scout = Scout(self._new_scout, self._qos)
        self._known = False
        """Whether the broker may keep a session of fanbench."""

    async def _dial(self, endpoint: Endpoint) -> Connection:
        """The first connection ends a session that a dead replica of this name left; later ones continue our own."""
        if self._keeps and not self._known and self._plan.version < 5:
            await mqtt_sessions.forget(endpoint, self._plan)  # in 3.1.1 a clean session ends with its connection
        connection = await connect(self._new(endpoint))
        if self._known:
            return connection
        try:
            if not await self._scout.look(connection, endpoint):
                await disconnect(connection)
                connection = await connect(self._new(endpoint))
            if self._noted:
                await mqtt_sessions.note(connection, endpoint, self._plan)
        except BaseException:
            await finish(disconnect(connection))
            raise
        self._known = True
        return connection

    def _new(self, endpoint: Endpoint) -> Connection:
        clean = not self._keeps or (self._plan.version == 5 and not self._known)
        return Connection(endpoint, replace(self._plan, clean=clean), self._take, self.link.pass_by)

    def _new_scout(self) -> Connection:
        given = self.line.endpoint.get(CLIENT_ID)
        name = f"{given}-scout" if given else _new_name(self.line.endpoint)
        return Connection(self.line.link.target, ClientPlan(name, self._plan.version))

    @property
    def _keeps(self) -> bool:
        return self._plan.expiry_s is not None

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

    async def _send(self, connection: Connection, names: Sequence[str]) -> Mapping[str, Refusal]:
        refused = await self._scout.ask(names) if self._scout.needed else {}
        allowed = [name for name in names if name not in refused]
        try:
            return refused | (await connection.subscribe(allowed, self._qos) if allowed else {})
        except MqttError:
            self._scout.needed = self._scout.needed or connection.lost
            raise

    async def unsubscribe(self, *topics: str) -> None:
        """Stop locally at once, and inform the broker; without a connection, the next one does not subscribe."""
        names = self.line.forget(topics)
        if names and self.line.connection is not None:
            with contextlib.suppress(MqttError):
                await self.line.connection.unsubscribe(names)

    def __aiter__(self) -> AsyncIterator[Message | Gap]:
        return self.inbox

    async def end(self) -> None:
        """Remove the session and its queue from the broker."""
        await quietly(self._scout.close(), self.line.endpoint.timeout_s)
        if self._keeps and self._known:
            endpoint = self.link.target
            await quietly(mqtt_sessions.forget(endpoint, self._plan, noted=self._noted), endpoint.timeout_s)


def qos_of(endpoint: Endpoint) -> int:
    """The QoS for the promise."""
    return 1 if endpoint.delivery == "at-least-once" else 0


def _version(endpoint: Endpoint) -> int:
    return int((endpoint.get(VERSION) or ("5" if qos_of(endpoint) else "3.1.1"))[0])


def _new_name(endpoint: Endpoint) -> str:
    """If no run is named it has 23 characters, the length that every MQTT 3.1.1 broker must accept."""
    return f"{endpoint.prefix}-{secrets.token_hex(7)}"


def _producer_plan(endpoint: Endpoint) -> ClientPlan:
    given = endpoint.get(CLIENT_ID)
    return ClientPlan(f"{given}-producer" if given else _new_name(endpoint), _version(endpoint))


def _consumer_plan(endpoint: Endpoint) -> ClientPlan:
    given, version = endpoint.get(CLIENT_ID), _version(endpoint)
    keeps = qos_of(endpoint) == 1
    if keeps and version < 5 and not given:
        step = "give each replica its own client_id, so that its next start continues the session, or use version=5"
        why = "at-least-once needs a session, which under MQTT 3.1.1 a killed replica would leave forever"
        raise UsageError(f"{endpoint}: {why}; {step}")
    return ClientPlan(given or _new_name(endpoint), version, endpoint.get(SESSION_EXPIRY) if keeps else None)


class MqttAdapter:
    """`mqtt://[user:password@]host[:port]`, `mqtts://` with TLS; `mqtt+ws://…/path` and `mqtt+wss://` by WebSocket."""

    name = "mqtt"
    schemes = ("mqtt", "mqtts", "mqtt+ws", "mqtt+wss")
    deliveries: tuple[Delivery, ...] = ("at-most-once", "at-least-once")
    delivery_options: Mapping[str, Mapping[str, Delivery]] = {"qos": {"0": "at-most-once", "1": "at-least-once"}}
    replay = False
    max_topic_bytes = MAX_TOPIC_BYTES
    default_ports: Mapping[str, int] = PORTS
    options = (QOS, VERSION, CLIENT_ID, SESSION_EXPIRY, inbox.BUFFER, *tls.OPTIONS)

    @asynccontextmanager
    async def producer(self, endpoint: Endpoint) -> AsyncIterator[MqttProducer]:
        """Connect, and stay connected."""
        producer = MqttProducer(endpoint)
        try:
            async with keep_up(endpoint, producer.line):
                yield producer
        finally:
            await finish(quietly(producer.suspects.scout.close(), endpoint.timeout_s))

    @asynccontextmanager
    async def consumer(self, endpoint: Endpoint) -> AsyncIterator[MqttConsumer]:
        """Connect, and stay connected."""
        consumer = MqttConsumer(endpoint)
        try:
            with contextlib.closing(consumer.inbox):
                async with keep_up(endpoint, consumer.line):
                    yield consumer
        finally:
            await finish(consumer.end())

    async def clean_up(self, endpoint: Endpoint) -> None:
        """Remove the run's sessions from the broker; with QoS 0 there are none."""
        if qos_of(endpoint) and endpoint.get(RUN_NAME):
            await mqtt_sessions.clean_up(endpoint)


adapter = MqttAdapter()
