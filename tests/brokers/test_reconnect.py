"""One policy for all adapters: backoff, a Gap-worthy loss told, nothing left behind."""

import asyncio
import itertools
import random
from dataclasses import replace

import pytest

from brokers.endpoint import BrokerError, parse_url
from brokers.reconnect import FIRST_S, JITTER, LONGEST_S, delays_s, finish, keep_up, reason, uncancelled

ENDPOINT = replace(parse_url("mine://u:hunter2@h", "at-most-once"), timeout_s=1.0)


def test_backoff_doubles_to_its_bound():
    class Middle(random.Random):
        def uniform(self, a, b):
            return (a + b) / 2

    assert list(itertools.islice(delays_s(Middle()), 7)) == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_jitter_stays_in_its_range_and_differs():
    waits = [list(itertools.islice(delays_s(random.Random(seed)), 8)) for seed in range(20)]
    assert all(FIRST_S * (1 - JITTER) <= wait[0] <= FIRST_S * (1 + JITTER) for wait in waits)
    assert all(LONGEST_S * (1 - JITTER) <= wait[-1] <= LONGEST_S * (1 + JITTER) for wait in waits)
    assert len({wait[0] for wait in waits}) == 20


class ReconnectLoop:
    """Connections are numbers; `fail` decides how an attempt ends, `end` loses the connection."""

    def __init__(self, fail=lambda number: None):
        self.events = []
        self.numbers = itertools.count()
        self.fail = fail
        self.end = asyncio.Event()
        self.up = asyncio.Event()
        self.dialled = asyncio.Queue()

    async def dial(self):
        number = next(self.numbers)
        await asyncio.sleep(0)
        error = self.fail(number)
        if error:
            raise error
        self.events.append(f"dial {number}")
        self.dialled.put_nowait(number)
        return number

    async def serve(self, number):
        self.up.set()
        await self.end.wait()
        self.end.clear()
        self.up.clear()
        raise ConnectionError("cut, hunter2")

    def lost(self, cause):
        self.events.append(f"lost {cause}")

    async def hang_up(self, number):
        await asyncio.sleep(0)
        self.events.append(f"hang up {number}")


async def test_a_lost_connection_is_told_closed_and_replaced():
    line = ReconnectLoop(fail=lambda number: OSError("no") if number in (1, 2) else None)
    async with keep_up(ENDPOINT, line):
        await asyncio.wait_for(line.up.wait(), 10)
        line.end.set()
        while await asyncio.wait_for(line.dialled.get(), 10) != 3:
            pass
    assert line.events == ["dial 0", "lost cut, ***", "hang up 0", "dial 3", "lost closed", "hang up 3"]


async def test_leaving_at_once_closes_the_connection():
    line = ReconnectLoop()
    async with keep_up(ENDPOINT, line):
        pass
    assert line.events == ["dial 0", "lost closed", "hang up 0"]


async def test_cancelling_while_closing_still_closes():
    line = ReconnectLoop()
    begun = asyncio.Event()

    async def live():
        async with keep_up(ENDPOINT, line):
            begun.set()

    task = asyncio.create_task(live())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.events[-1] == "hang up 0"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError("refused"), "check host and port"),
        (RuntimeError("Authentication failed for hunter2"), "check the user and the password"),
        (OSError("certificate verify failed"), "ca_file"),
        (TimeoutError(), "no answer within 1 s"),
    ],
)
async def test_the_first_failure_is_an_error_with_the_next_step(error, says):
    with pytest.raises(BrokerError, match=says) as caught:
        async with keep_up(ENDPOINT, ReconnectLoop(fail=lambda number: error)):
            pass
    assert "hunter2" not in str(caught.value)
    assert "mine://u:***@h" in str(caught.value)


async def test_finish_ends_the_work_before_it_passes_a_cancellation_on():
    done = []

    async def work():
        await asyncio.sleep(0.01)
        done.append(True)

    task = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_swallowed_cancellation_is_passed_on():
    async def swallow():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return "swallowed"

    task = asyncio.create_task(uncancelled(swallow()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_reason_is_one_line_of_the_innermost_error():
    group = ExceptionGroup("many", [ExceptionGroup("more", [ValueError("two\nlines")])])
    assert reason(group) == "two lines"
    assert reason(KeyError()) == "KeyError"
