"""A quorum queue's leader dies: RabbitMQ's answers to a publishing channel, and the adapter's reaction."""

import asyncio
import os

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError

from brokers.errors import BrokerError
from brokers.programs.catalogue import CLUSTERS
from brokers.programs.rabbitmq import evaluate
from brokers.registry import open_endpoint

pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.timeout(300), pytest.mark.soak]
DEADLINE_S = 60


@pytest.fixture
def cluster(tmp_path):
    program = CLUSTERS["rabbitmq-cluster"]
    if program.find() is None:
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(program.install_hint)
    with program.start(tmp_path, ["quorum"]) as started:
        yield started


async def test_a_channel_that_publishes_between_two_leaders_is_refused_and_the_adapter_takes_another(cluster):
    nodes = cluster.listeners["amqp"]
    adapter, endpoint = open_endpoint(f"amqp://{nodes}?queue_type=quorum", "at-least-once")
    async with adapter.consumer(endpoint) as consumer, adapter.producer(endpoint) as producer:
        await consumer.subscribe("events")
        came = []

        async def read():
            async for item in consumer:
                came.append(getattr(item, "payload", None))  # noqa: PERF401 - looked at meanwhile

        reading = asyncio.create_task(read())
        await producer.publish("events", b"before")
        leader = await asyncio.to_thread(cluster.leader, ["quorum"], "events")
        leader.kill()
        # The dead node stays away: the other two do the rest.
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await producer.publish("events", b"after")
                    break
                except BrokerError:
                    await asyncio.sleep(0.05)
            while b"after" not in came:
                await asyncio.sleep(0.05)
        reading.cancel()
    assert leader.ended


async def test_the_bare_library_is_refused_on_the_channel_and_not_on_a_new_one(cluster):
    """The reason for the adapter's code, without our libraries. RabbitMQ 3.10 behaves like this.

    A newer one may be better.
    """
    addresses = cluster.listeners["amqp"].split(",")
    connection = await aio_pika.connect(f"amqp://guest:guest@{addresses[0]}")
    channel = await connection.channel()
    queue = await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
    message = aio_pika.Message(b"x", delivery_mode=2)
    await channel.default_exchange.publish(message, queue.name)
    leader = await asyncio.to_thread(cluster.leader, ["quorum"], "q")
    assert leader.listeners["amqp"] == addresses[0]  # a queue is led where it was declared
    others = [address for address in addresses if address != leader.listeners["amqp"]]
    connection = await aio_pika.connect(f"amqp://guest:guest@{others[0]}")
    channel = await connection.channel()
    leader.kill()
    outcomes = []
    for _ in range(40):
        try:
            await channel.default_exchange.publish(message, "q", timeout=30)
            outcomes.append("taken")
        except (DeliveryError, TimeoutError):
            outcomes.append("refused")
            break
    assert outcomes[-1] == "refused", "the election was over before the first publish"
    async with asyncio.timeout(DEADLINE_S):
        while True:
            another = await connection.channel()
            try:
                await another.default_exchange.publish(message, "q", timeout=30)
                break
            except (DeliveryError, TimeoutError):
                await another.close()
                await asyncio.sleep(0.2)
    with pytest.raises((DeliveryError, TimeoutError)):
        await channel.default_exchange.publish(message, "q", timeout=30)
    await connection.close()


async def test_a_quorum_queue_whose_members_were_all_killed_has_no_leader(cluster):
    """The claims of brokers/limits.py about `rabbitmq-quorum` in cluster-kill, checked by the bare product's queue members."""
    address = cluster.listeners["amqp"].split(",")[0]
    connection = await aio_pika.connect(f"amqp://guest:guest@{address}")
    channel = await connection.channel()
    queue = await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
    for _ in range(5):
        await channel.default_exchange.publish(aio_pika.Message(b"x", delivery_mode=2), queue.name)
    cluster.kill()
    await asyncio.to_thread(cluster.start_again)
    port = int(address.rpartition(":")[2])
    asked = "[element(1, catch ra:members(amqqueue:get_pid(Q), 2000)) || Q <- rabbit_amqqueue:list()]"
    for _ in range(5):
        assert evaluate(port, asked).strip() == "[timeout]"
