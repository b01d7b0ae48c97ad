"""Steps of a schedule in callbacks: in order, never early, and none after the end."""

import asyncio

import pytest

from core.clock import now_ns
from generator.pace import NEXT_TURN, Pace

DEADLINE_S = 20


async def test_no_step_begins_before_its_instant():
    given, begun = [], []

    def steps():
        for delay_ns in (2_000_000, 0, 400_000, 11_000_000):
            given.append(now_ns() + delay_ns)
            yield given[-1]
            begun.append(now_ns())

    async with asyncio.timeout(DEADLINE_S):
        await Pace(steps()).follow()
    assert len(begun) == 4
    assert all(began >= gave for gave, began in zip(given, begun, strict=True))


async def test_a_step_can_yield_to_everything_else():
    seen = []

    def steps():
        asyncio.get_running_loop().call_soon(seen.append, "other")
        seen.append("first")
        yield NEXT_TURN
        seen.append("second")

    async with asyncio.timeout(DEADLINE_S):
        await Pace(steps()).follow()
    assert seen == ["first", "other", "second"]


async def test_an_error_of_a_step_is_raised():
    def steps():
        yield now_ns() + 100_000
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        async with asyncio.timeout(DEADLINE_S):
            await Pace(steps()).follow()


@pytest.mark.parametrize("delay_ns", [None, 300_000])
async def test_no_step_follows_a_cancellation(delay_ns):
    begun = 0

    def steps():
        nonlocal begun
        while True:
            begun += 1
            yield NEXT_TURN if delay_ns is None else now_ns() + delay_ns

    following = asyncio.create_task(Pace(steps()).follow())
    async with asyncio.timeout(DEADLINE_S):
        while begun < 3:
            await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    seen = begun
    for _ in range(50):
        await asyncio.sleep(0)
    assert begun == seen
