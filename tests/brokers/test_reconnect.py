"""One policy for all adapters: backoff, a Gap for each reported loss, nothing left behind."""

import asyncio
import itertools
import random
from dataclasses import replace

import pytest

from brokers.backoff import FIRST_S, JITTER, LONGEST_S
from brokers.endpoint import parse_url
from brokers.errors import BrokerError, CauseKind
from brokers.link import Link
from brokers.reconnect import delays_s, finish, keep_up, reason, uncancelled

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

    def __init__(self, fail=lambda number: None, endpoint=ENDPOINT):
        self.events = []
        self.numbers = itertools.count()
        self.fail = fail
        self.end = asyncio.Event()
        self.up = asyncio.Event()
        self.dialled = asyncio.Queue()
        self.link = Link(endpoint)
        self.hosts = []
        self.kind_of = lambda error: None

    async def dial(self):
        number = next(self.numbers)
        self.hosts.append(self.link.target.host)
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


async def test_a_lost_connection_is_reported_closed_and_replaced():
    line = ReconnectLoop(fail=lambda number: OSError("no") if number in (1, 2) else None)
    async with keep_up(ENDPOINT, line):
        await asyncio.wait_for(line.up.wait(), 10)
        line.end.set()
        while await asyncio.wait_for(line.dialled.get(), 10) != 3:
            pass
        await asyncio.wait_for(line.up.wait(), 10)  # one that is not served yet would only be closed
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
        (OSError("certificate verify failed: Hostname mismatch"), "server_name"),
        (OSError("NOPERM this user has no permissions"), "grant it to this user"),
        (OSError("PRECONDITION_FAILED - inequivalent arg"), "exists with other settings"),
        (TimeoutError(), "no answer within 1 s"),
    ],
)
async def test_the_first_failure_is_an_error_with_the_next_step(error, says):
    with pytest.raises(BrokerError, match=says) as caught:
        async with keep_up(ENDPOINT, ReconnectLoop(fail=lambda number: error)):
            pass
    assert "hunter2" not in str(caught.value)
    assert "mine://u:***@h" in str(caught.value)


async def test_a_broker_that_is_not_ready_yet_is_asked_again_on_the_first_connection():
    line = ReconnectLoop(fail=lambda number: ConnectionError("still electing") if number < 3 else None)
    line.kind_of = lambda error: CauseKind.ELSEWHERE
    async with keep_up(ENDPOINT, line):
        assert line.link.connected


async def test_a_broker_that_is_never_ready_is_an_error_within_the_deadline():
    line = ReconnectLoop(fail=lambda number: ConnectionError("still electing"))
    line.kind_of = lambda error: CauseKind.ELSEWHERE
    with pytest.raises(BrokerError, match="still electing; it reconnects automatically: try again in a moment"):
        async with keep_up(ENDPOINT, line):
            pass
    assert len(line.hosts) > 1


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


async def dialled(line, count):
    """Wait until it has dialled this often."""
    async with asyncio.timeout(20):
        while len(line.hosts) < count:
            await asyncio.sleep(0.01)


async def test_dials_that_time_out_after_a_failed_task_group_are_followed_by_more():
    """Before Python 3.11.3 the first of them ended the reconnecting with a cancellation."""

    class Deaf(ReconnectLoop):
        async def dial(self):
            self.hosts.append(self.link.target.host)
            if len(self.hosts) > 1:
                await asyncio.sleep(60)
            return len(self.hosts)

        async def serve(self, number):
            async def fail():
                await asyncio.sleep(0.01)
                raise OSError("lost")

            async with asyncio.TaskGroup() as group:
                group.create_task(fail())

    line = Deaf()
    async with keep_up(replace(ENDPOINT, timeout_s=0.1), line):
        await dialled(line, 5)
        assert not line.link.connected
        assert line.link.cause


@pytest.mark.slow
async def test_no_stray_cancellation_ends_reconnecting():
    line = ReconnectLoop(fail=lambda number: OSError("no") if 0 < number < 4 else None)

    def cancel_all():
        for task in asyncio.all_tasks():
            if task.get_name().startswith("mine://"):
                task.cancel()

    async with keep_up(ENDPOINT, line):
        await asyncio.wait_for(line.up.wait(), 10)
        async with asyncio.timeout(20):
            while len(line.hosts) < 8:
                cancel_all()
                await asyncio.sleep(0.02)
        await asyncio.wait_for(line.up.wait(), 10)
        assert line.link.connected
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("mine://")]


def test_the_program_can_end_although_nobody_closed():
    async def abandon():
        await keep_up(ENDPOINT, ReconnectLoop()).__aenter__()

    asyncio.run(asyncio.wait_for(abandon(), 10))


async def test_an_error_while_reporting_the_loss_does_not_end_reconnecting():
    class Clumsy(ReconnectLoop):
        def lost(self, cause):
            raise ValueError("a mistake in an adapter")

        async def hang_up(self, number):
            raise RuntimeError("another one")

    line = Clumsy()
    async with keep_up(ENDPOINT, line):
        await asyncio.wait_for(line.up.wait(), 10)
        line.end.set()
        await dialled(line, 2)


async def test_the_link_reports_its_state_and_why():
    line = ReconnectLoop(fail=lambda number: OSError("refused by hunter2") if number == 1 else None)
    states = []

    async def follow():
        while True:
            states.append((line.link.connected, line.link.cause))
            await line.link.changed()

    following = asyncio.create_task(follow())
    async with keep_up(ENDPOINT, line):
        await asyncio.wait_for(line.up.wait(), 10)
        line.end.set()
        await dialled(line, 3)
        await asyncio.wait_for(line.up.wait(), 10)
    await asyncio.sleep(0)
    following.cancel()
    assert states == [
        (False, "not connected yet"),
        (True, ""),
        (False, "cut, ***"),
        (True, ""),
        (False, "closed"),
    ]


async def test_a_dropped_connection_is_dialled_again():
    line = ReconnectLoop()
    async with keep_up(ENDPOINT, line):
        await asyncio.wait_for(line.up.wait(), 10)
        line.link.drop("READONLY, says hunter2")
        line.link.drop("again")
        await dialled(line, 2)
        assert line.events[:3] == ["dial 0", "lost READONLY, says ***", "hang up 0"]


HOSTS = replace(parse_url("mine://u:hunter2@a,b:2,c", "at-most-once"), timeout_s=1.0)


async def test_hosts_are_tried_in_turn_at_first_and_later():
    line = ReconnectLoop(fail=lambda number: OSError("no") if number in (0, 2) else None)
    async with keep_up(HOSTS, line):
        await asyncio.wait_for(line.up.wait(), 10)
        assert line.hosts == ["a", "b"]
        line.end.set()
        await dialled(line, 4)
        assert line.hosts == ["a", "b", "c", "a"]


async def test_if_no_host_answers_each_is_named():
    errors = [ConnectionRefusedError("refused"), RuntimeError("wrong password hunter2"), TimeoutError()]
    with pytest.raises(
        BrokerError, match=r"cannot connect: a: refused, b:2: wrong password \*\*\*, c: no answer"
    ) as caught:
        async with keep_up(HOSTS, ReconnectLoop(fail=errors.__getitem__)):
            pass
    assert caught.value.kind is CauseKind.AUTHENTICATION
    assert "hunter2" not in str(caught.value)
