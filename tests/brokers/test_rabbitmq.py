"""All that needs RabbitMQ, which takes eight seconds of a core to start: in one file, one process starts it once.

Its contenders keep every promise that their adapters make, and a limit of brokers/limits.py shows on the bare product.
"""

import aio_pika

from brokers.conformance import Conformance
from brokers.conformance.fixtures import RunningPrograms
from brokers.contenders import find_contender
from brokers.limits import limit


class TestRabbitMQ(Conformance):
    contender = "rabbitmq"


class TestRabbitMQConfirms(Conformance):
    contender = "rabbitmq-confirms"


class TestRabbitMQStream(Conformance):
    contender = "rabbitmq-stream"


class TestRabbitMQMqtt(Conformance):
    contender = "rabbitmq-mqtt"


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
