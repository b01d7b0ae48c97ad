"""Adapters that publish without a task for each message keep the promises of `publish`, on real brokers."""

import asyncio

import pytest
import uvloop

from brokers.api import BeginsPublishing
from brokers.contenders import find_contender
from brokers.errors import TopicRefusedError
from brokers.nats_link import dial, hang_up
from brokers.nats_requests import post, pub, takes_at_once
from brokers.registry import open_endpoint

CONTENDERS = ("valkey", "valkey-streams", "nats", "nats-jetstream")
EVENTS = 5_000


@pytest.mark.parametrize("name", CONTENDERS)
async def test_begun_publishes_arrive_in_order_and_are_reported_once(running_programs, name):
    broker = running_programs.workbench(find_contender(name))
    topic, expected = broker.topic(), [b"%06d" % i for i in range(EVENTS)]
    ends, told = [], asyncio.Event()

    def done(error):
        ends.append(error)
        if len(ends) >= EVENTS - EVENTS // 100:
            told.set()

    async with broker.producer() as producer, broker.reader(topic) as (_, reader):
        assert isinstance(producer, BeginsPublishing)
        for i, payload in enumerate(expected):
            if i % 100:
                producer.begin(topic, payload, done)
            else:  # the one between them is published
                producer.flush()
                await producer.publish(topic, payload)
        producer.flush()
        await reader.count(EVENTS)
        assert reader.payloads == expected
        async with asyncio.timeout(20):
            await told.wait()
        assert ends == [None] * (EVENTS - EVENTS // 100)


@pytest.mark.parametrize("name", CONTENDERS)
async def test_an_unusable_topic_is_reported_and_does_not_affect_others(running_programs, name):
    broker = running_programs.workbench(find_contender(name))
    topic, ends, told = broker.topic(), [], asyncio.Event()
    async with broker.producer() as producer, broker.reader(topic) as (_, reader):
        for one in (topic, "", topic):
            producer.begin(one, b"x", lambda error: (ends.append(error), len(ends) == 3 and told.set()))
        producer.flush()
        async with asyncio.timeout(20):
            await told.wait()
        refused = [end for end in ends if end is not None]
        assert len(refused) == 1
        assert isinstance(refused[0], TopicRefusedError)
        await reader.count(2)


@pytest.mark.usefixtures("integration")
def test_a_publish_into_a_connection_that_nats_has_just_reset_is_no_error_of_the_program(tmp_path):
    """The generator publishes between two turns of the event loop: nats-py learns of the loss one turn later."""
    uvloop.run(_post_after_the_end(tmp_path))


async def _post_after_the_end(folder):
    with find_contender("nats").launched(folder) as broker:
        _, endpoint = open_endpoint(broker.url, None)
        link = await dial(endpoint)
        transport = link.client._transport._io_writer.transport
        transport.abort()  # as a reset does
        await asyncio.sleep(0)
        assert takes_at_once(link.client, b"x"), "nats-py knows already, so this shows nothing"
        post(link.client, [pub("t", b"x")])
        await hang_up(link)
