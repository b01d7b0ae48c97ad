"""Adapters that publish without a task for each message keep the promises of `publish`, on real brokers."""

import asyncio

import pytest

from brokers.api import BeginsPublishing
from brokers.contenders import find_contender
from brokers.errors import TopicRefusedError

CONTENDERS = ("valkey", "valkey-streams", "nats")
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
