"""How long publishing failed, with a clock that the test moves."""

import pytest

from core.errors import FanbenchError
from generator.outage import WatchedPublish


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    moved = Clock()
    monkeypatch.setattr("generator.outage.time", moved)
    return moved


def publish(clock, took_s, *, fails=False):
    async def one(topic, payload):
        clock.now_s += took_s
        if fails:
            raise FanbenchError("no")

    return one


async def test_it_lasts_from_the_start_of_the_first_failure_to_the_next_success(clock):
    watched = WatchedPublish(publish(clock, 0.001))
    await watched("t", b"")
    watched._publish = publish(clock, 2.0, fails=True)
    for _ in range(2):
        with pytest.raises(FanbenchError):
            await watched("t", b"")
    assert watched.longest_ms() == 4000.0  # it lasts
    watched._publish = publish(clock, 0.5)
    await watched("t", b"")
    assert watched.longest_ms() == 4500.0
    clock.now_s += 60
    assert watched.longest_ms() == 4500.0


async def test_a_waiting_publish_counts_as_an_outage(clock):
    watched = WatchedPublish(publish(clock, 3.0))
    await watched("t", b"")
    assert watched.longest_ms() == 3000.0
