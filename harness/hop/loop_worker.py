"""Publishes and receives in a loop in one process, through an adapter or its bare library; prints one JSON object."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import uvloop

from brokers.registry import open_endpoint
from core.contracts.codec import decode, encode
from core.contracts.hop import LoopFigures, LoopPlan
from core.errors import FanbenchError
from core.settings import exit_with
from harness.hop import bare_clients as bare

_WARM = 500
_DEADLINE_S = 60.0


class Counter:
    """Counts messages, and signals when enough have arrived."""

    def __init__(self) -> None:
        self.count = 0
        self._target = -1
        self._reached = asyncio.Event()

    def got(self) -> None:
        """Count a message."""
        self.count += 1
        if self.count == self._target:
            self._reached.set()

    async def until(self, count: int) -> None:
        """Wait until that many have arrived in total."""
        self._target = count
        self._reached.clear()
        if self.count < count:
            async with asyncio.timeout(_DEADLINE_S):
                await self._reached.wait()


@asynccontextmanager
async def _by_adapter(plan: LoopPlan, counter: Counter) -> AsyncIterator[bare.Publish]:
    adapter, endpoint = open_endpoint(plan.url, plan.delivery)
    async with adapter.producer(endpoint) as producer, adapter.consumer(endpoint) as consumer:
        await consumer.subscribe(bare.TOPIC)

        async def read() -> None:
            async for _ in consumer:
                counter.got()

        async with bare.running(read()):
            yield partial(producer.publish, bare.TOPIC)


async def _publish(publish: bare.Publish, plan: LoopPlan, count: int) -> None:
    payload = b"x" * plan.payload_bytes
    if plan.in_flight:
        numbers = iter(range(count))

        async def publisher() -> None:
            for _ in numbers:
                await publish(payload)

        await asyncio.gather(*[publisher() for _ in range(plan.in_flight)])
        return
    begin, under_way = time.monotonic(), set()
    for i in range(count):
        await asyncio.sleep(max(0.0, begin + i / plan.rate_hz - time.monotonic()))
        task = asyncio.ensure_future(publish(payload))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


async def measure(plan: LoopPlan) -> LoopFigures:
    """Publish and receive as planned."""
    counter = Counter()
    adapter, _ = open_endpoint(plan.url, plan.delivery)
    side = (
        _by_adapter(plan, counter)
        if plan.by == "adapter"
        else bare.side(adapter.name, plan.delivery, plan.url, counter.got)
    )
    async with side as publish:
        async with asyncio.timeout(_DEADLINE_S):
            while not counter.count:  # a bare library may not report that it has subscribed
                await publish(b"x" * plan.payload_bytes)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await counter.until(1)
        warm = counter.count + _WARM
        await _publish(publish, plan, _WARM)
        await counter.until(warm)
        before = counter.count
        cpu_s, began_s, done = time.process_time(), time.monotonic(), 0
        while not done or time.monotonic() - began_s < plan.seconds:
            await _publish(publish, plan, plan.messages)
            done += plan.messages
            await counter.until(before + done)
        return LoopFigures(
            client_us=1e6 * (time.process_time() - cpu_s) / done,
            messages_hz=done / (time.monotonic() - began_s),
            published=before + done,
        )


if __name__ == "__main__":
    try:
        print(encode(uvloop.run(measure(decode(LoopPlan, sys.stdin.read(), "stdin")))))
    except FanbenchError as error:
        exit_with(error)
