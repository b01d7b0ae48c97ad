"""The NATS contenders keep every promise of their adapters, on their real programs."""

import asyncio
import contextlib

from brokers.conformance import Conformance
from brokers.conformance.faults import publish_until_taken


class TestNats(Conformance):
    contender = "nats"

    async def test_subscribe_given_up(self, broker):
        """nats-py stops reading if an answer arrives after its caller gave up; the adapter prevents this."""
        topic, other = broker.topic(), broker.topic()
        with broker.proxy() as (proxy, endpoint):
            async with broker.producer() as producer, broker.reader(topic, endpoint=endpoint) as (consumer, reader):
                proxy.stall()
                for _ in range(3):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(consumer.subscribe(other), 0.05)
                proxy.restore()
                await publish_until_taken(producer, topic, b"first")
                await consumer.subscribe(other)
                await producer.publish(other, b"second")
                await reader.until(lambda: b"second" in reader.payloads, "a message of the topic asked for again")
                assert b"first" in reader.payloads
                assert not reader.gaps


class TestNatsJetStream(Conformance):
    contender = "nats-jetstream"
