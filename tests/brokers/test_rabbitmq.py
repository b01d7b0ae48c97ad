"""RabbitMQ's contenders keep their adapters' promises, and a limit of brokers/limits.py shows on the bare product.

RabbitMQ takes eight CPU seconds to start, so these tests share a file, and one process starts it once.
"""

import asyncio
import itertools
from collections.abc import Awaitable

import aio_pika
import pytest

from brokers import amqp_consumer
from brokers.conformance import Conformance
from brokers.conformance.delivery import REPLICAS
from brokers.conformance.faults import publish_until_taken
from brokers.conformance.fixtures import RunningPrograms
from brokers.conformance.provocations import provocations_of
from brokers.conformance.workbench import DEADLINE_S, Workbench
from brokers.contenders import find_contender
from brokers.errors import BrokerError, TopicRefusedError
from brokers.limits import limit
from brokers.programs.rabbitmq import evaluate


class TestRabbitMQ(Conformance):
    contender = "rabbitmq"


class TestRabbitMQConfirms(Conformance):
    contender = "rabbitmq-confirms"


class TestRabbitMQStream(Conformance):
    contender = "rabbitmq-stream"


class TestRabbitMQMqtt(Conformance):
    contender = "rabbitmq-mqtt"


@pytest.mark.soak
def test_replicas_create_the_first_stream_of_a_broker_at_the_same_moment(tmp_path):
    """RabbitMQ 3.10 confirms a stream's declaration to the second client before the stream exists."""
    contender = find_contender("rabbitmq-stream")
    with contender.launched(tmp_path) as broker:
        new = Workbench(contender, broker.url, broker.running, tmp_path, provocations_of(contender.name))
        asyncio.run(Conformance().test_first_connections_at_the_same_moment(new))


async def test_an_amqp_exchange_gives_a_new_queue_nothing_of_before(running_programs: RunningPrograms):
    endpoint = running_programs.workbench(find_contender("rabbitmq-confirms")).endpoint()
    async with await aio_pika.connect(host=endpoint.host, port=endpoint.port) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.declare_exchange("e", aio_pika.ExchangeType.DIRECT, auto_delete=True)
        await exchange.publish(aio_pika.Message(b"before"), "t", mandatory=False)
        queue = await channel.declare_queue("q", exclusive=True)
        await queue.bind(exchange, "t")
        await exchange.publish(aio_pika.Message(b"after"), "t")
        got = await queue.get(timeout=20)
        assert got.body == b"after"
    assert limit("rabbitmq-confirms", "replica-restart") == limit("rabbitmq-confirms", "replica-kill") is not None


async def test_consumers_that_draw_the_same_queue_name_share_no_queue(running_programs: RunningPrograms, monkeypatch):
    """A run has few names, so that it can delete its queues; each of these consumers must still get the event."""
    numbers = itertools.chain([0] * REPLICAS, itertools.count(1))
    monkeypatch.setattr(amqp_consumer, "new_queue_name", lambda endpoint: f"{endpoint.prefix}.{next(numbers)}")
    workbench = running_programs.workbench(find_contender("rabbitmq-confirms"))
    await Conformance().test_first_connections_at_the_same_moment(workbench)


_RIGHTS = """
ok = rabbit_auth_backend_internal:add_user(<<"denied">>, <<"word">>, <<"tests">>),
ok = rabbit_auth_backend_internal:set_permissions(<<"denied">>, <<"/">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>),
ok = rabbit_auth_backend_internal:set_topic_permissions(
    <<"denied">>, <<"/">>, <<"amq.topic">>, <<"^(?!secret)">>, <<"^(?!secret)">>, <<"tests">>).
"""


async def test_over_mqtt_a_forbidden_topic_interrupts_at_most_once(running_programs: RunningPrograms):
    """RabbitMQ closes the connection instead of refusing.

    If an unused topic was allowed, the first refusal shows this.
    """
    workbench = running_programs.workbench(find_contender("rabbitmq-mqtt"))
    assert workbench.running is not None
    evaluate(int(workbench.running.listeners["amqp"].rpartition(":")[2]), _RIGHTS)
    endpoint = workbench.endpoint(f"mqtt://denied:word@{workbench.endpoint().hosts[0]}")
    good = workbench.topic()
    async with (
        workbench.producer(endpoint) as producer,
        workbench.reader(good, endpoint=endpoint) as (consumer, reader),
    ):
        for number in range(3):
            (refused,) = (await consumer.subscribe(f"secret-{number}")).items()
            assert refused[0] == f"secret-{number}"
            assert refused[1].kind == "forbidden"
        await publish_until_taken(producer, good, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "a message of the allowed topic")
        assert len(reader.gaps) == 1


async def told(publish: Awaitable[None]) -> BrokerError | None:
    try:
        await publish
    except BrokerError as error:
        return error
    return None


async def test_over_mqtt_a_forbidden_publish_stops_no_other(running_programs: RunningPrograms):
    workbench = running_programs.workbench(find_contender("rabbitmq-mqtt"))
    assert workbench.running is not None
    evaluate(int(workbench.running.listeners["amqp"].rpartition(":")[2]), _RIGHTS.replace("denied", "publisher"))
    endpoint = workbench.endpoint(f"mqtt://publisher:word@{workbench.endpoint().hosts[0]}")
    topics = [workbench.topic() for _ in range(5)]
    async with (
        workbench.producer(endpoint) as producer,
        workbench.reader(*topics, endpoint=endpoint) as (_, reader),
    ):
        async with asyncio.timeout(DEADLINE_S):
            while not isinstance(await told(producer.publish("secret", b"no")), TopicRefusedError):
                await asyncio.sleep(0.05)
        for topic in topics:
            await publish_until_taken(producer, topic, b"first")
        for number in range(20):
            with pytest.raises(TopicRefusedError):
                await producer.publish("secret", b"no")
            for topic in topics:
                await producer.publish(topic, b"%d" % number)
        assert producer.link.connected
        await reader.until(lambda: reader.payloads.count(b"19") == len(topics), "all of the allowed topics")
        assert not reader.gaps
