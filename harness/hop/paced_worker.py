"""Publisher and consumer of one broker in one process, with no SSE: run by `fanbench hop`, prints one JSON object."""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from typing import NamedTuple

import uvloop

from brokers.api import Consumer, Gap, Producer
from brokers.registry import open_endpoint
from core.clock import now_ns
from core.contracts.codec import decode, encode
from core.contracts.hop import HopFigures, HopPlan
from core.errors import FanbenchError
from core.histogram import Histogram
from core.settings import exit_with

TOPIC = "hop"
_DRAIN_S = 3.0
_MOST_UNDER_WAY = 10_000
"""With this many unanswered publishes the next one waits; the achieved rate shows it."""


class _Sent(NamedTuple):
    cpu_s: float
    wall_s: float


def message(number: int, sent_ns: int, size_bytes: int) -> bytes:
    """When it was sent, its number, and padding."""
    return (sent_ns.to_bytes(8, "big") + number.to_bytes(8, "big")).ljust(size_bytes, b"x")


async def _publish(producer: Producer, plan: HopPlan) -> _Sent:
    """Publish on the schedule; the first `warmup_s` seconds carry a zero stamp and do not count."""
    under_way: set[asyncio.Task[None]] = set()
    begin = time.monotonic()
    cpu_s = time.process_time()
    for i in range(plan.warm + plan.measured):
        wait_s = begin + i / plan.rate_hz - time.monotonic()
        await asyncio.sleep(max(0.0, wait_s))
        if i == plan.warm:
            cpu_s = time.process_time()
        if len(under_way) >= _MOST_UNDER_WAY:
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        payload = message(max(0, i - plan.warm), now_ns() if i >= plan.warm else 0, plan.payload_bytes)
        task = asyncio.create_task(producer.publish(TOPIC, payload))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    # The last event has its interval too; otherwise a short measurement would seem faster than its schedule.
    await asyncio.sleep(max(0.0, begin + (plan.warm + plan.measured) / plan.rate_hz - time.monotonic()))
    wall_s = time.monotonic() - (begin + plan.warm / plan.rate_hz)
    if under_way:
        await asyncio.wait(under_way, timeout=_DRAIN_S)
    return _Sent(time.process_time() - cpu_s, wall_s)


class Arrivals:
    """The fate of the measured messages, each counted once: a duplicate does not replace a lost one."""

    def __init__(self, count: int) -> None:
        self.latencies_ns: array[int] = array("q")
        self._came = bytearray(count)
        self._missing = count

    def add(self, payload: bytes, arrived_ns: int) -> bool:
        """Take a message; return whether all have arrived."""
        sent_ns, number = int.from_bytes(payload[:8], "big"), int.from_bytes(payload[8:16], "big")
        if sent_ns and not self._came[number]:
            self._came[number] = 1
            self._missing -= 1
            self.latencies_ns.append(arrived_ns - sent_ns)
        return not self._missing

    @property
    def lost(self) -> int:
        """The number of events that never arrived."""
        return self._missing


async def _receive(consumer: Consumer, arrivals: Arrivals) -> None:
    async for item in consumer:
        if not isinstance(item, Gap) and arrivals.add(item.payload, now_ns()):
            return


async def measure_hop(plan: HopPlan) -> HopFigures:
    """Publish and receive as planned."""
    adapter, endpoint = open_endpoint(plan.url, plan.delivery)
    arrivals = Arrivals(plan.measured)
    async with adapter.consumer(endpoint) as consumer, adapter.producer(endpoint) as producer:
        await consumer.subscribe(TOPIC)
        receiving = asyncio.create_task(_receive(consumer, arrivals))
        sent = await _publish(producer, plan)
        await asyncio.wait([receiving], timeout=_DRAIN_S)
        receiving.cancel()
        await asyncio.wait([receiving])
    histogram = Histogram()
    histogram.record_ns(arrivals.latencies_ns)
    return HopFigures(
        messages=plan.measured,
        published=plan.warm + plan.measured,
        lost=arrivals.lost,
        achieved_hz=plan.measured / sent.wall_s,
        p50_us=histogram.percentile_ms(50) * 1000 if histogram.count else None,
        p99_us=histogram.percentile_ms(99) * 1000 if histogram.count else None,
        client_us=1e6 * sent.cpu_s / plan.measured,
    )


def main() -> None:
    """Read a HopPlan from stdin, which keeps a password in its URL out of the process title, and print HopFigures."""
    try:
        plan = decode(HopPlan, sys.stdin.read(), "stdin")
        print(encode(uvloop.run(measure_hop(plan))))
    except FanbenchError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
