"""Sleeping by a timer that the event loop watches: never too short, and gone when it is closed."""

import asyncio
import time

import pytest
import uvloop

from generator.alarm import Alarm

LOOPS = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("seconds", [0.0, 0.000_3, 0.012])
def test_no_sleep_is_too_short(new_loop, seconds):
    async def slept_s():
        with Alarm() as alarm:
            began_s = time.monotonic()
            await alarm.sleep(seconds)
            return time.monotonic() - began_s

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(slept_s()) >= seconds


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_sleep_can_be_cancelled_and_the_next_one_is_whole(new_loop):
    async def again():
        with Alarm() as alarm:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await alarm.sleep(3_600)
            async with asyncio.timeout(20):
                await alarm.sleep(0.001)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(again())


async def test_where_there_is_no_such_timer_the_loop_s_own_serves(monkeypatch):
    alarm = Alarm()
    monkeypatch.setattr(alarm, "_libc", object())
    with alarm:
        async with asyncio.timeout(20):
            await alarm.sleep(0.001)
