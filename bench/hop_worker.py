"""Publisher and consumer of one broker in one process, with no SSE: run by `fanbench hop`, prints one JSON object."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from typing import NamedTuple

import uvloop
from pydantic import BaseModel

from brokers.api import Consumer, Gap, Producer
from brokers.registry import open_endpoint
from core.clock import now_ns
from core.histogram import Histogram

TOPIC = "hop"
_DRAIN_S = 3.0


class HopPlan(BaseModel):
    """What to measure; read from stdin, so that a password in the URL is in no process title."""

    url: str
    delivery: str
    rate_hz: float
    duration_s: float
    warmup_s: float = 0.5
    payload_bytes: int = 200

    @property
    def warm(self) -> int:
        """Messages that do not count."""
        return int(self.warmup_s * self.rate_hz)

    @property
    def measured(self) -> int:
        """Messages that count."""
        return max(1, int(self.duration_s * self.rate_hz))


class _Sent(NamedTuple):
    cpu_s: float
    wall_s: float


async def _publish(producer: Producer, plan: HopPlan) -> _Sent:
    """Publish on the schedule; the first `warmup_s` seconds carry a zero stamp and do not count."""
    under_way: set[asyncio.Task[None]] = set()
    begin = time.monotonic()
    cpu_s, started = time.process_time(), begin
    for i in range(plan.warm + plan.measured):
        wait_s = begin + i / plan.rate_hz - time.monotonic()
        await asyncio.sleep(max(0.0, wait_s))
        if i == plan.warm:
            cpu_s, started = time.process_time(), time.monotonic()
        stamp = now_ns() if i >= plan.warm else 0
        task = asyncio.create_task(producer.publish(TOPIC, stamp.to_bytes(8, "big").ljust(plan.payload_bytes, b"x")))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way, timeout=_DRAIN_S)
    return _Sent(time.process_time() - cpu_s, time.monotonic() - started)


async def _receive(consumer: Consumer, latencies_ns: array[int], count: int) -> None:
    async for item in consumer:
        if not isinstance(item, Gap) and (stamp := int.from_bytes(item.payload[:8], "big")):
            latencies_ns.append(now_ns() - stamp)
            if len(latencies_ns) == count:
                return


async def measure_hop(plan: HopPlan) -> dict[str, float]:
    """Latency in microseconds, CPU of this process in microseconds per message, and what was lost."""
    adapter, endpoint = open_endpoint(plan.url, plan.delivery)
    latencies_ns: array[int] = array("q")
    async with adapter.consumer(endpoint) as consumer, adapter.producer(endpoint) as producer:
        await consumer.subscribe(TOPIC)
        receiving = asyncio.create_task(_receive(consumer, latencies_ns, plan.measured))
        sent = await _publish(producer, plan)
        await asyncio.wait([receiving], timeout=_DRAIN_S)
        receiving.cancel()
        await asyncio.wait([receiving])
    histogram = Histogram()
    histogram.record_ns(latencies_ns)
    return {
        "messages": plan.measured,
        "published": plan.warm + plan.measured,
        "lost": plan.measured - len(latencies_ns),
        "achieved_hz": plan.measured / sent.wall_s,
        "p50_us": histogram.percentile_ms(50) * 1000,
        "p99_us": histogram.percentile_ms(99) * 1000,
        "client_us": 1e6 * sent.cpu_s / plan.measured,
    }


def main() -> None:
    """Read a HopPlan as JSON from stdin, print the measurement as JSON."""
    plan = HopPlan.model_validate_json(sys.stdin.read())
    print(json.dumps(uvloop.run(measure_hop(plan))))


if __name__ == "__main__":
    main()
