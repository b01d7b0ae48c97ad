"""Admission of connections: order, turns and room, without real connections."""

import asyncio
import itertools

from server.connection_limits import REQUESTS_PER_TURN, ConnectionLimits


class Arrival:
    def __init__(self) -> None:
        self.refused = b""

    def refuse(self, status: bytes, words: bytes) -> None:
        self.refused = status


async def test_requests_begin_in_order_a_few_at_a_turn() -> None:
    connection_limits = ConnectionLimits(10, asyncio.get_running_loop())
    begun: list[int] = []
    for i in range(50):
        connection_limits.admit(lambda i=i: begun.append(i))  # type: ignore[misc]
    assert begun == []
    sizes = []
    while len(begun) < 50:
        await asyncio.sleep(0)
        sizes.append(len(begun))
    assert begun == list(range(50))
    assert sizes[0] == REQUESTS_PER_TURN
    assert max(b - a for a, b in itertools.pairwise(sizes)) == REQUESTS_PER_TURN
    connection_limits.admit(lambda: begun.append(50))
    await asyncio.sleep(0)
    assert begun[-1] == 50


async def test_only_overdue_incomplete_requests_are_refused() -> None:
    loop = asyncio.get_running_loop()
    connection_limits = ConnectionLimits(10, loop)
    late, done, new = Arrival(), Arrival(), Arrival()
    for arrival in (late, done):
        assert connection_limits.enter(arrival, 1)
    connection_limits.leave(done)
    entered_s = loop.time()
    while (between_s := loop.time()) <= entered_s:
        await asyncio.sleep(0)
    connection_limits.enter(new, 2)
    connection_limits.expire(between_s)
    assert [bool(a.refused) for a in (late, done, new)] == [True, False, False]
    assert connection_limits.turned_away == 1


async def test_a_request_is_incomplete_since_its_first_byte() -> None:
    loop = asyncio.get_running_loop()
    connection_limits = ConnectionLimits(10, loop)
    dripping, second = Arrival(), Arrival()
    connection_limits.enter(dripping, 1)
    connection_limits.enter(second, 2)
    connection_limits.leave(second)
    between_s = loop.time() + 1e-6
    while loop.time() <= between_s:
        await asyncio.sleep(0)
    connection_limits.owe(dripping)  # one more byte of the same head
    connection_limits.owe(second)  # the first byte of its next request
    connection_limits.expire(between_s)
    assert [bool(a.refused) for a in (dripping, second)] == [True, False]
    connection_limits.expire(loop.time() + 1)
    assert second.refused


async def test_there_is_no_room_beyond_the_limit() -> None:
    connection_limits = ConnectionLimits(2, asyncio.get_running_loop())
    assert [connection_limits.enter(Arrival(), n) for n in (1, 2, 3)] == [True, True, False]
    assert connection_limits.turned_away == 1
