"""A timer that the event loop watches: it never rings early, and rings once."""

import asyncio
import time

import pytest
import uvloop

from generator.alarm import Alarm

LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop]
DEADLINE_S = 20


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("delay_ns", [0, 300_000, 12_000_000])
def test_it_never_rings_early(new_loop, delay_ns):
    async def rang_after_ns():
        rang = asyncio.Event()
        with Alarm(rang.set) as alarm:
            began_ns = time.monotonic_ns()
            alarm.set(delay_ns)
            async with asyncio.timeout(DEADLINE_S):
                await rang.wait()
            return time.monotonic_ns() - began_ns

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(rang_after_ns()) >= delay_ns


@pytest.mark.parametrize("new_loop", LOOPS)
def test_only_the_last_setting_counts_and_it_rings_once(new_loop):
    async def rings():
        count = 0
        rang = asyncio.Event()

        def ring():
            nonlocal count
            count += 1
            rang.set()

        with Alarm(ring) as alarm:
            alarm.set(3_600_000_000_000)
            alarm.set(1_000_000)
            async with asyncio.timeout(DEADLINE_S):
                await rang.wait()
            for _ in range(50):  # it would ring at each turn of the loop
                await asyncio.sleep(0)
            return count

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(rings()) == 1


@pytest.mark.parametrize("new_loop", LOOPS)
def test_it_can_be_set_from_its_own_ring(new_loop):
    async def five_times():
        done, left = asyncio.Event(), 5

        def ring():
            nonlocal left
            left -= 1
            if left:
                alarm.set(1_000)
            else:
                done.set()

        with Alarm(ring) as alarm:
            alarm.set(1_000)
            async with asyncio.timeout(DEADLINE_S):
                await done.wait()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(five_times())


async def test_without_such_a_timer_the_loops_own_is_used(monkeypatch):
    rang = asyncio.Event()
    alarm = Alarm(rang.set)
    monkeypatch.setattr(alarm, "_libc", object())
    with alarm:
        alarm.set(1_000_000)
        async with asyncio.timeout(DEADLINE_S):
            await rang.wait()
