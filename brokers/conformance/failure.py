"""Promises about failures and endings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from brokers.api import Consumer, Gap, Message
from brokers.conformance.faults import (
    RETRY_S,
    impatient,
    nothing_left,
    polled,
    publish_until_refused,
    publish_until_taken,
    restart,
    silent_server,
)
from brokers.conformance.workbench import (
    DEADLINE_S,
    BrokenPromiseError,
    Workbench,
    needs,
    reading,
    require,
    tells_addresses,
    with_address,
    with_credentials,
)
from brokers.errors import BrokerError

WRONG_PASSWORD = "not-the-passw0rd"  # noqa: S105


async def _next(consumer: Consumer) -> Message | Gap:
    return await anext(aiter(consumer))


class FailurePromises:
    """One test for each."""

    @needs("program")
    async def test_broker_killed_and_restarted(self, broker: Workbench) -> None:
        """While a killed broker is down, publishing raises; afterwards a Gap is reported, and messages flow again."""
        topic = broker.topic()
        assert broker.running is not None
        async with broker.producer() as producer, broker.reader(topic) as (_, reader):
            await producer.publish(topic, b"before")
            await reader.count(1)
            broker.running.kill()
            await publish_until_refused(producer, topic)
            await asyncio.to_thread(broker.running.start_again)
            await self._flows_again(broker, topic, producer, reader)

    @needs("link")
    async def test_link_cut(self, broker: Workbench) -> None:
        """While the link is cut, publishing raises; when it is back, a Gap is reported and messages flow again."""
        topic = broker.topic()
        with broker.proxy() as (proxy, endpoint):
            async with broker.producer(endpoint) as producer, broker.reader(topic, endpoint=endpoint) as (_, reader):
                await producer.publish(topic, b"before")
                await reader.count(1)
                proxy.cut()
                error = await publish_until_refused(producer, topic)
                require(topic in str(error) or "publish" in str(error), f"the error does not say what failed: {error}")
                proxy.restore()
                await self._flows_again(broker, topic, producer, reader)

    async def _flows_again(self, broker: Workbench, topic: str, producer: Any, reader: Any) -> None:
        await reader.until(lambda: reader.gaps, "a Gap")
        await publish_until_taken(producer, topic, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "a message after the Gap")
        later = broker.topic()
        await reader.consumer.subscribe(later)
        await publish_until_taken(producer, later, b"new topic")
        await reader.until(lambda: b"new topic" in reader.payloads, "a message of a topic subscribed after it")

    @needs("link")
    async def test_silent_link_is_noticed(self, broker: Workbench) -> None:
        """A silently dead link (a pulled cable) is noticed: a Gap is reported when it is back."""
        topic = broker.topic()
        with broker.proxy() as (proxy, endpoint):
            hasty = impatient(endpoint)
            async with (
                broker.producer() as producer,
                nothing_left(),
                broker.reader(topic, endpoint=hasty) as (_, reader),
            ):
                proxy.stall()
                await polled(lambda: proxy.connections > 1, "the adapter tried to connect again")
                proxy.cut()
                proxy.restore()
                await reader.until(lambda: reader.gaps, "a Gap")
                await publish_until_taken(producer, topic, b"after")
                await reader.until(lambda: b"after" in reader.payloads, "a message after the Gap")

    @needs("link")
    async def test_publishes_over_a_silent_link_end(self, broker: Workbench) -> None:
        """A publish in flight over a link that falls silent returns or raises BrokerError, and later ones succeed."""
        topic = broker.topic()
        with broker.proxy() as (proxy, endpoint):
            hasty = impatient(endpoint)
            async with nothing_left(), broker.producer(hasty) as producer, broker.reader(topic) as (_, reader):
                await producer.publish(topic, b"before")
                proxy.stall()
                much = bytes(50_000)  # 15 MB in total: more than the buffers on the way can hold
                publishes = [asyncio.ensure_future(producer.publish(topic, much)) for _ in range(300)]
                await polled(lambda: proxy.connections > 1, "the adapter tried to connect again")
                await polled(lambda: all(publish.done() for publish in publishes), "the publishes end")
                for publish in publishes:
                    require(not publish.cancelled(), "a publish that nobody cancelled ended as cancelled")
                    error = publish.exception()
                    require(error is None or isinstance(error, BrokerError), f"a publish raised {error!r}")
                proxy.cut()
                proxy.restore()
                await publish_until_taken(producer, topic, b"after")
                await reader.until(lambda: b"after" in reader.payloads, "a message after it")

    @needs("link", "at-least-once")
    async def test_link_cut_loses_nothing(self, broker: Workbench) -> None:
        """At least once: messages acknowledged while a consumer's link was down arrive when it is back."""
        topic = broker.topic()
        expected = [b"%d" % i for i in range(300)]
        with broker.proxy() as (proxy, endpoint):
            async with broker.producer() as producer, broker.reader(topic, endpoint=endpoint) as (_, reader):
                for i, payload in enumerate(expected):
                    if i == 100:
                        proxy.cut()
                    await producer.publish(topic, payload)
                proxy.restore()
                await reader.until(lambda: expected[-1] in reader.payloads, "the last message")
                require(list(dict.fromkeys(reader.payloads)) == expected, "some are lost or out of order")

    @needs("program", "at-least-once")
    async def test_restart_loses_nothing_acknowledged(self, broker: Workbench) -> None:
        """At least once: a clean restart of the broker loses no acknowledged message, and keeps the order."""
        topic, running = broker.topic(), broker.running
        assert running is not None
        acknowledged: list[bytes] = []
        async with broker.producer() as producer, broker.reader(topic) as (_, reader):

            async def publish(until: Callable[[], bool]) -> None:
                while not until():
                    payload = b"%d" % time.monotonic_ns()
                    try:
                        await producer.publish(topic, payload)
                        acknowledged.append(payload)
                    except BrokerError:
                        await asyncio.sleep(RETRY_S)

            await publish(lambda: len(acknowledged) >= 100)
            restarting = asyncio.create_task(asyncio.to_thread(restart, running))
            await publish(restarting.done)
            before = len(acknowledged)
            async with asyncio.timeout(DEADLINE_S):
                await publish(lambda: len(acknowledged) >= before + 100)
            await reader.until(lambda: acknowledged[-1] in reader.payloads, "the last message")
            arrived = dict.fromkeys(reader.payloads)
            lost = [payload for payload in acknowledged if payload not in arrived]
            require(not lost, f"{len(lost)} of {len(acknowledged)} acknowledged messages are lost")
            known = set(acknowledged)
            require([payload for payload in arrived if payload in known] == acknowledged, "out of order")

    async def test_closing(self, broker: Workbench) -> None:
        """Closing twice is a no-op and leaves no task or socket; publishing after close raises."""
        topic, adapter, endpoint = broker.topic(), broker.adapter, broker.endpoint()
        async with broker.producer() as warm, broker.reader(topic):
            await warm.publish(topic, b"libraries and threads are loaded")
            async with nothing_left(1.5 if tells_addresses(endpoint) else 0.0):
                sides = adapter.producer(endpoint), adapter.consumer(endpoint)
                producer, consumer = await sides[0].__aenter__(), await sides[1].__aenter__()
                await consumer.subscribe(topic)
                await producer.publish(topic, b"x")
                async with reading(consumer) as reader:
                    await reader.count(1)
                    for _ in range(2):
                        for side in sides:
                            await side.__aexit__(None, None, None)
                with contextlib.suppress(BrokerError):
                    await producer.publish(topic, b"too late")
                    require(False, "publish on a closed producer did not raise")

    async def test_cancelling(self, broker: Workbench) -> None:
        """Cancelling a publish, an iteration or a close breaks nothing and leaves nothing behind."""
        topic = broker.topic()
        async with broker.producer() as producer, broker.consumer() as consumer:
            await consumer.subscribe(topic)
            waiting = asyncio.create_task(_next(consumer))
            publishing = [asyncio.create_task(producer.publish(topic, b"cancelled")) for _ in range(50)]
            await asyncio.sleep(0)
            for task in (*publishing, waiting):
                task.cancel()
            await asyncio.wait([*publishing, waiting])
            await producer.publish(topic, b"after")
            async with reading(consumer) as reader:
                await reader.until(lambda: reader.payloads[-1:] == [b"after"], "a message after a cancelled publish")
            async with nothing_left(1.5 if tells_addresses(broker.endpoint()) else 0.0):
                once = asyncio.Event()
                closing = asyncio.create_task(self._open_and_close(broker, topic, once))
                async with asyncio.timeout(DEADLINE_S):
                    await once.wait()
                closing.cancel()
                await asyncio.wait([closing], timeout=DEADLINE_S)
                require(closing.done(), "a cancelled close did not end")

    async def _open_and_close(self, broker: Workbench, topic: str, once: asyncio.Event) -> None:
        while True:
            async with broker.consumer() as consumer, broker.producer() as producer:
                await consumer.subscribe(topic)
                await producer.publish(topic, b"x")
                once.set()
            await asyncio.sleep(0)  # an adapter that never waits cannot be cancelled

    @needs("link")
    async def test_nobody_there(self, broker: Workbench) -> None:
        """An unknown host, a closed port or a silent port gives a clear error in time; nothing is left behind."""
        async with silent_server() as (silent, _), nothing_left():
            for address in ("nowhere.invalid:1", "127.0.0.1:1", silent):
                url = with_address(with_credentials(broker.url, "fanbench", WRONG_PASSWORD), address)
                endpoint = impatient(broker.endpoint(url), 0.5)
                for side in (broker.adapter.producer, broker.adapter.consumer):
                    started = time.monotonic()
                    error = await self._refused(side(endpoint), address)
                    require(error.transient, f"the error is not transient, although a broker may start there: {error}")
                    took_s = time.monotonic() - started
                    require(took_s < 10 * endpoint.timeout_s, f"{address}: the error took {took_s:.1f} s")

    @needs("link")
    async def test_cancelled_connect(self, broker: Workbench) -> None:
        """Connecting can be cancelled, and leaves nothing behind."""
        async with silent_server() as (silent, accepted), nothing_left():
            endpoint = impatient(broker.endpoint(with_address(broker.url, silent)), DEADLINE_S / 4)
            connecting = asyncio.create_task(broker.adapter.consumer(endpoint).__aenter__())
            async with asyncio.timeout(DEADLINE_S):
                await accepted.wait()
            connecting.cancel()
            await asyncio.wait([connecting], timeout=DEADLINE_S)
            require(connecting.cancelled(), "a cancelled connect did not end as cancelled")

    @needs("password")
    async def test_wrong_password(self, broker: Workbench) -> None:
        """The right password connects; a wrong one gives a clear, permanent error; no error shows a password."""
        with broker.guarded() as (url, user, password):
            async with broker.producer(broker.endpoint(with_credentials(url, user, password))):
                pass
            wrong = broker.endpoint(with_credentials(url, user, WRONG_PASSWORD))
            for side in (broker.adapter.producer, broker.adapter.consumer):
                error = await self._refused(side(wrong), user)
                require("password" in str(error), f"the error does not mention the password: {error}")
                require(not error.transient, f"the error is transient, as if another try might succeed: {error}")

    async def _refused(self, side: Any, named: str) -> BrokerError:
        try:
            async with side:
                pass
        except BrokerError as error:
            require(WRONG_PASSWORD not in repr(error) + str(error), "the password is shown")
            require(named in str(error), f"the error does not name {named}: {error}")
            return error
        raise BrokenPromiseError(f"connecting to {named} raised no BrokerError")
