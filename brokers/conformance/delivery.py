"""Promises about delivery."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from brokers.api import CleansUp, Message
from brokers.clean_up import new_run_name
from brokers.conformance.workbench import (
    DEADLINE_S,
    BrokenPromiseError,
    Workbench,
    needs,
    payload_bound,
    reading,
    require,
)
from brokers.errors import BrokerError, CauseKind
from brokers.inbox import BUFFER
from brokers.registry import open_endpoint
from core.errors import UsageError

BURST = 10_000
SMALL_BUFFER = 100
REPLICAS = 8
_LATER_NS = 3_600 * 1_000_000_000


class DeliveryPromises:
    """One test for each."""

    async def test_bytes_unchanged(self, broker: Workbench) -> None:
        """Payload bytes arrive unchanged: empty, binary, 64 KiB or the declared maximum, under a non-ASCII topic."""
        most = min(65_536, payload_bound(broker) or 65_536)
        payloads = [b"", bytes(range(256)), b"\r\n" * 10, b"{}", (bytes(range(256)) * 256)[:most]]
        topic = broker.topic() + "-größe-日本"
        async with broker.producer() as producer, broker.reader(topic) as (_, reader):
            for payload in payloads:
                await producer.publish(topic, payload)
            await reader.count(len(payloads))
            require(reader.messages == [Message(topic, payload) for payload in payloads], "bytes or topic changed")

    async def test_first_connections_at_the_same_moment(self, broker: Workbench) -> None:
        """Replicas and a producer that start together on a broker without the adapter's objects all connect."""
        endpoint, topic = broker.endpoint(run_name=new_run_name()), broker.topic()
        all_connected = asyncio.Barrier(REPLICAS + 1)

        async def serve() -> None:
            async with broker.reader(topic, endpoint=endpoint) as (_, reader):
                await all_connected.wait()
                await reader.count(1)

        async def publish() -> None:
            async with broker.producer(endpoint) as producer:
                await all_connected.wait()
                await producer.publish(topic, b"first")

        try:
            async with asyncio.timeout(2 * DEADLINE_S), asyncio.TaskGroup() as tasks:
                for _ in range(REPLICAS):
                    tasks.create_task(serve())
                tasks.create_task(publish())
        finally:
            if isinstance(broker.adapter, CleansUp):
                await broker.adapter.clean_up(endpoint)

    @needs("payload bound")
    async def test_payload_over_the_bound_is_refused(self, broker: Workbench) -> None:
        """A payload over the declared maximum is refused for its size, and other payloads still arrive."""
        topic, bound = broker.topic(), payload_bound(broker)
        async with broker.producer() as producer, broker.reader(topic) as (_, reader):
            for payload in (b"\xff" * (bound + 1), b"\xff" * 10 * bound):
                outcomes = await asyncio.gather(
                    *[producer.publish(topic, one) for one in (b"before", payload, b"after")], return_exceptions=True
                )
                refused = outcomes[1]
                require(isinstance(refused, BrokerError), f"{len(payload)} bytes: publish ended with {refused!r:.200}")
                assert isinstance(refused, BrokerError)
                require(refused.kind is CauseKind.LIMIT, f"refused as {refused.kind}: {refused}")
                require(
                    outcomes[0] is outcomes[2] is None,
                    f"the others ended with {outcomes[0]!r:.200}, {outcomes[2]!r:.200}",
                )
            await reader.count(4)
            require(reader.payloads == [b"before", b"after"] * 2, f"got {reader.payloads!r:.200}")
            require(not reader.gaps, f"a gap was reported: {reader.gaps}")

    async def test_topics_isolated(self, broker: Workbench) -> None:
        """A consumer gets only its own topics: case matters, and no character is a wildcard."""
        base = broker.topic()
        names = [
            "a",
            "A",
            "a.b",
            "a/b",
            "a.*",
            "a.#",
            "a/+",
            "a/#",
            "a.>",
            "*",
            "#",
            "+",
            ">",
            "a.",
            ".a",
            "a%2A",
            "ab",
        ]
        topics = [f"{base}{name}" for name in names] + [f"${base}", f"#{base}"]
        for mine, others in ((topics[::2], topics[1::2]), (topics[1::2], topics[::2])):
            async with broker.producer() as producer, broker.reader(*mine) as (_, reader):
                for topic in [*others, *mine]:
                    await producer.publish(topic, topic.encode())
                await reader.count(len(mine))
                got = sorted(reader.messages)
                require(
                    got == sorted(Message(topic, topic.encode()) for topic in mine), f"subscribed {mine}, got {got}"
                )

    async def test_subscribe_is_a_barrier(self, broker: Workbench) -> None:
        """After subscribe has returned, everything that is published arrives, starting with the first message."""
        async with broker.producer() as producer, broker.reader() as (consumer, reader):
            for i in range(1, 51):
                topic = broker.topic()
                await consumer.subscribe(topic)
                await producer.publish(topic, b"first")
                await reader.count(i)

    async def test_burst_complete_and_in_order(self, broker: Workbench) -> None:
        """A burst of 10,000 concurrent publishes arrives complete, in order, without duplicates."""
        topic = broker.topic()
        async with broker.producer() as producer, broker.reader(topic) as (_, reader):
            expected = [b"%06d" % i for i in range(BURST)]
            await asyncio.gather(*[producer.publish(topic, payload) for payload in expected])
            await reader.count(BURST)
            require(not reader.gaps, f"a gap was reported: {reader.gaps}")
            require(reader.payloads == expected, "some are out of order, duplicated or lost")

    async def test_two_consumers_both_receive(self, broker: Workbench) -> None:
        """Each consumer gets each message: they share no queue."""
        topic = broker.topic()
        async with (
            broker.producer() as producer,
            broker.reader(topic) as (_, one),
            broker.reader(topic) as (_, other),
        ):
            expected = [b"%d" % i for i in range(200)]
            for payload in expected:
                await producer.publish(topic, payload)
            for reader in (one, other):
                await reader.count(len(expected))
                require(reader.payloads == expected, "the consumers share the messages")

    async def test_unsubscribe_stops(self, broker: Workbench) -> None:
        """After unsubscribe, no message of the topic arrives, and other topics continue; resubscribing works."""
        topic, other = broker.topic(), broker.topic()
        async with broker.producer() as producer, broker.reader(topic, other) as (consumer, reader):
            await producer.publish(topic, b"before")
            await reader.count(1)
            await consumer.unsubscribe(topic)
            await producer.publish(topic, b"unwanted")
            await producer.publish(other, b"other")
            await reader.count(2)
            await consumer.subscribe(topic)
            await producer.publish(topic, b"again")
            await reader.count(3)
            require(reader.payloads == [b"before", b"other", b"again"], f"got {reader.payloads}")

    async def test_thousand_topics(self, broker: Workbench) -> None:
        """A consumer can have 1,000 topics, subscribed in concurrent calls."""
        topics = [broker.topic() for _ in range(1_000)]
        patient = replace(broker.endpoint(), timeout_s=DEADLINE_S)  # the total time depends on the machine
        async with broker.producer(patient) as producer, broker.reader(endpoint=patient) as (consumer, reader):
            await asyncio.gather(*[consumer.subscribe(topic) for topic in topics])
            await asyncio.gather(*[producer.publish(topic, topic.encode()) for topic in topics])
            await reader.count(len(topics))
            require({m.topic: m.payload for m in reader.messages} == {t: t.encode() for t in topics}, "topics mixed up")

    async def test_overflow_is_told(self, broker: Workbench) -> None:
        """A slow reader's buffer is bounded. The reader loses nothing, or Gaps report how many messages it lost."""
        topic, total = broker.topic(), 20 * SMALL_BUFFER
        small = broker.endpoint(buffer=SMALL_BUFFER)
        async with broker.producer() as producer, broker.consumer(small) as consumer:
            async with broker.reader(topic) as (_, quick):
                await consumer.subscribe(topic)
                await asyncio.gather(*[producer.publish(topic, b"%d" % i) for i in range(total)])
                await quick.count(total)
            async with reading(consumer) as reader:

                def accounted() -> int:
                    return len(reader.messages) + sum(gap.lost or 0 for gap in reader.gaps)

                await reader.until(lambda: accounted() >= total, f"{total} messages received or reported lost")
                require(accounted() == total, f"{accounted()} accounted for of {total}")
                numbers = [int(payload) for payload in reader.payloads]
                require(numbers == sorted(set(numbers)), "the messages that arrived are out of order or duplicated")
                if small.delivery == "at-most-once" and BUFFER in broker.adapter.options:
                    require(
                        any(gap.lost for gap in reader.gaps),
                        f"all {total} messages were held, or lost without a report",
                    )
                    require(SMALL_BUFFER not in numbers, f"more were held than buffer={SMALL_BUFFER}")

    @needs("replay")
    async def test_replay(self, broker: Workbench) -> None:
        """Subscribing from a point in time replays the stored messages, then live ones, without holes or duplicates."""
        topic = broker.topic()
        async with broker.producer() as producer, broker.reader() as (consumer, reader):
            for i in range(150):
                if i == 50:
                    since_ns = time.time_ns()
                await producer.publish(topic, b"%d" % i)
            live = asyncio.gather(*[producer.publish(topic, b"%d" % i) for i in range(150, 300)])
            await consumer.subscribe(topic, since_ns=since_ns)
            await live
            await producer.publish(topic, b"300")
            await reader.until(lambda: b"300" in reader.payloads, "the last message")
            numbers = [int(payload) for payload in reader.payloads]
            require(numbers == list(range(numbers[0], 301)), f"a hole or a duplicate in {numbers}")
            require(numbers[0] <= 50, f"the history begins with {numbers[0]}, not with 50 or before")
            other = broker.topic()
            await consumer.subscribe(other, since_ns=time.time_ns() + _LATER_NS)  # nothing has been stored since then
            await producer.publish(other, b"live")
            await reader.until(lambda: reader.payloads[-1] == b"live", "live messages after an empty history")

    async def test_unsupported_delivery(self, broker: Workbench) -> None:
        """An undeclared delivery promise and an unknown option are refused by name."""
        for url, delivery, named in (
            (broker.url, "exactly-once", "exactly-once"),
            (broker.endpoint().url + ("&" if "?" in broker.url else "?") + "bufer=1", None, "buffer"),
        ):
            try:
                open_endpoint(url, delivery)
            except UsageError as error:
                require(named in str(error), f"the error does not name {named}: {error}")
            else:
                raise BrokenPromiseError(f"{named} was accepted")
