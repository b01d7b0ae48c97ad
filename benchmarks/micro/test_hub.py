"""The hub's own work for an event and a delivery, without the kernel's: its clients' connections discard the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from benchmarks.events import SERVER, TOPIC, Events
from server.client import Client
from server.frame import FrameMaker, Openings, Wire
from server.history import HistoryBound
from server.hub import Hub, HubSettings
from server.ledger import Ledger
from server.resume import resume
from server.validation import EventValidator

CLIENTS = 1_000
MIB = 1024 * 1024


class Hole:
    """A connection that discards everything."""

    wire = Wire.CHUNKED
    descriptor = -1

    def write(self, data: bytes) -> None: ...

    def write_many(self, parts: Sequence[bytes]) -> None: ...

    def held_bytes(self) -> int:
        return 0

    def go_live(self) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


@pytest.fixture
def hub() -> Iterator[Hub]:
    loop = asyncio.new_event_loop()
    settings = HubSettings(SERVER, HistoryBound(2_000, 4 * MIB, 10**11), 64 * MIB, MIB, 15.0, 0.0, 30.0)
    hub = Hub(settings, loop)
    topic = hub.open_topic(TOPIC, 0)
    opening = Openings(SERVER, 1000).pick(Wire.CHUNKED)
    for _ in range(CLIENTS):
        position = resume(None, {TOPIC: topic.history}, 0)
        hub.join(Client([TOPIC], Hole()), position, opening)
    yield hub
    loop.close()


def test_fan_out_a_delivery_of_1000(benchmark: Any, hub: Hub) -> None:
    events = Events()
    benchmark.extra_info["times"] = CLIENTS

    def fan_out(payload: bytes) -> None:
        hub.accept(TOPIC, payload)
        hub.flush()

    benchmark.pedantic(fan_out, setup=lambda: ((events.payload(),), {}), rounds=300, warmup_rounds=20)
    assert hub.ledger.written == 320 * CLIENTS


def test_read_and_frame_an_event(benchmark: Any) -> None:
    ledger, make, payload = Ledger(), FrameMaker(SERVER), Events().payload()
    intake = EventValidator(MIB, ledger)

    def work() -> Any:
        stamp = intake.read(TOPIC, payload)
        assert stamp is not None
        return make.event(stamp, payload, 1)

    made: Callable[..., Any] = benchmark(work)
    assert made is not None
