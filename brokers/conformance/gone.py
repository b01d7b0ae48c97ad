"""Promises about what disappears at the broker: a consumer, the broker's role in its cluster, what a run created."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

from brokers.api import CleansUp, Producer
from brokers.clean_up import new_run_name
from brokers.conformance.faults import RETRY_S, polled, publish_until_refused, publish_until_taken
from brokers.conformance.workbench import DEADLINE_S, BrokenPromiseError, MessageReader, Workbench, needs, require
from brokers.endpoint import Endpoint
from brokers.errors import BrokerError

_WARM_UP = 20


class GonePromises:
    """One test for each."""

    @needs("vanish")
    async def test_vanished_consumer_is_noticed(self, broker: Workbench) -> None:
        """A consumer that disappeared at the broker is noticed: messages flow again, with a Gap where some are missing."""
        for way, vanish in broker.provocations.vanish.items():
            run_name = new_run_name()
            endpoint = broker.endpoint(None, run_name=run_name, **broker.provocations.options_of(run_name))
            try:
                await self._vanish(broker, endpoint, vanish)
            except BrokenPromiseError as error:
                raise BrokenPromiseError(f"{way}: {error}") from None
            finally:
                if isinstance(broker.adapter, CleansUp):
                    await broker.adapter.clean_up(endpoint)

    async def _vanish(
        self, broker: Workbench, endpoint: Endpoint, vanish: Callable[[Endpoint], Awaitable[None]]
    ) -> None:
        topic = broker.topic()
        async with broker.producer(endpoint) as producer, broker.reader(topic, endpoint=endpoint) as (consumer, reader):
            numbers, taken = itertools.count(), list[bytes]()
            while len(taken) < _WARM_UP:
                await self._publish(producer, topic, numbers, taken)
            await reader.until(lambda: taken[-1] in reader.payloads, "the messages before")
            require(not reader.gaps, f"a gap before anything happened: {reader.gaps}")
            before = len(reader.messages)
            await vanish(endpoint)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    while len(reader.messages) == before:
                        await self._publish(producer, topic, numbers, taken)
            except TimeoutError:
                raise BrokenPromiseError(f"received nothing for {DEADLINE_S:g} s; gaps: {reader.gaps}") from None
            await self._last_arrives(producer, topic, reader, endpoint)
            missing = {*taken} - {*reader.payloads}
            require(not missing or reader.gaps, f"{len(missing)} acknowledged messages are missing without a Gap")
            later = broker.topic()
            require(not await consumer.subscribe(later), "a topic subscribed after it was refused")
            await publish_until_taken(producer, later, b"new topic")
            await reader.until(lambda: b"new topic" in reader.payloads, "a message of a topic subscribed after it")

    async def _last_arrives(self, producer: Producer, topic: str, reader: MessageReader, endpoint: Endpoint) -> None:
        """Publish again: with at-most-once the interruption may lose the message."""
        await publish_until_taken(producer, topic, b"last")
        try:
            async with asyncio.timeout(DEADLINE_S):
                while b"last" not in reader.payloads:
                    await asyncio.sleep(RETRY_S)
                    if endpoint.delivery == "at-most-once":
                        await publish_until_taken(producer, topic, b"last")
        except TimeoutError:
            raise BrokenPromiseError(f"the last message did not come, gaps: {reader.gaps}") from None

    async def _publish(self, producer: Producer, topic: str, numbers: Iterator[int], taken: list[bytes]) -> None:
        payload = b"%d" % next(numbers)
        try:
            await producer.publish(topic, payload)
            taken.append(payload)
        except BrokerError:
            pass
        await asyncio.sleep(RETRY_S)

    @needs("elsewhere", "link")
    async def test_not_here_any_more(self, broker: Workbench) -> None:
        """If an answer means "not here any more", the adapter dials again: the name may now point to another server."""
        assert broker.provocations.elsewhere is not None
        topic = broker.topic()
        run_name = new_run_name()
        with broker.proxy() as (proxy, through):
            endpoint = broker.endpoint(through.url, run_name=run_name, **broker.provocations.options_of(run_name))
            async with (
                broker.producer(endpoint) as producer,
                broker.reader(topic, endpoint=endpoint) as (consumer, reader),
            ):
                await self._arrives(producer, topic, reader, b"before")
                accepted = proxy.accepted
                async with broker.provocations.elsewhere(endpoint):
                    await publish_until_refused(producer, topic)
                    await polled(lambda: proxy.accepted >= accepted + 2, "both sides dialled again")
                sides = (producer, consumer)
                await polled(lambda: all(side.link.connected for side in sides), "both sides are connected again")
                await self._last_arrives(producer, topic, reader, endpoint)
                require(reader.gaps or endpoint.delivery == "at-least-once", "the interruption was not reported")

    async def _arrives(self, producer: Producer, topic: str, reader: MessageReader, payload: bytes) -> None:
        await publish_until_taken(producer, topic, payload)
        await reader.until(lambda: payload in reader.payloads, f"the message '{payload.decode()}'")

    @needs("leftovers")
    async def test_clean_up_leaves_nothing(self, broker: Workbench) -> None:
        """Everything that an adapter creates has the run's name; clean_up removes all of it, and nothing of other runs."""
        assert broker.provocations.leftovers is not None
        adapter, topic = broker.adapter, broker.topic()
        require(isinstance(adapter, CleansUp), "the adapter has no clean_up")
        assert isinstance(adapter, CleansUp)
        mine, others = (broker.endpoint(run_name=new_run_name()) for _ in range(2))
        async with broker.producer(others) as producer, broker.reader(topic, endpoint=others) as (_, reader):
            await self._run_to_its_end(broker, mine)
            await adapter.clean_up(mine)
            left = await broker.provocations.leftovers(mine)
            require(not left, f"left behind: {left}")
            await self._arrives(producer, topic, reader, b"another run continues")
            require(not reader.gaps, f"another run was interrupted: {reader.gaps}")
        await adapter.clean_up(others)
        await adapter.clean_up(others)  # also if nothing is left to remove
        left = await broker.provocations.leftovers(others)
        require(not left, f"left behind: {left}")

    async def _run_to_its_end(self, broker: Workbench, endpoint: Endpoint) -> None:
        """End like a killed run, if the link can be cut: nothing is closed cleanly."""
        topic = broker.topic()
        if endpoint.port is None:
            async with broker.producer(endpoint) as producer, broker.reader(topic, endpoint=endpoint) as (_, reader):
                await self._arrives(producer, topic, reader, b"mine")
            return
        with broker.proxy() as (proxy, through):
            cut = broker.endpoint(through.url, run_name=endpoint.prefix)
            async with broker.producer(cut) as producer, broker.reader(topic, endpoint=cut) as (_, reader):
                await self._arrives(producer, topic, reader, b"mine")
                proxy.cut()
