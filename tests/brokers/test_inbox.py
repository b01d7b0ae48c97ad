"""The bounded buffer keeps order, counts every loss, and puts a Gap exactly where something is missing."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.api import Gap, Message
from brokers.inbox import Inbox


async def drain(inbox):
    inbox.close()
    return [item async for item in inbox]


def put(inbox, *payloads):
    for payload in payloads:
        inbox.put("t", payload)


async def test_messages_come_in_order():
    inbox = Inbox()
    put(inbox, b"1", b"2", b"3")
    assert await drain(inbox) == [Message("t", b"1"), Message("t", b"2"), Message("t", b"3")]


async def test_overflow_is_one_gap_where_messages_are_missing():
    inbox = Inbox(4)
    put(inbox, *[b"%d" % i for i in range(10)])
    assert [await anext(inbox) for _ in range(2)] == [Message("t", b"0"), Message("t", b"1")]
    put(inbox, b"10")
    rest = await drain(inbox)
    assert rest == [Message("t", b"2"), Message("t", b"3"), Gap("overflow", 6), Message("t", b"10")]


async def test_overflow_is_reported_even_if_nothing_follows():
    inbox = Inbox(2)
    put(inbox, b"0", b"1", b"2")
    assert await drain(inbox) == [Message("t", b"0"), Message("t", b"1"), Gap("overflow", 1)]


@given(
    capacity=st.integers(1, 6),
    steps=st.lists(st.one_of(st.just("take"), st.integers(1, 5)), max_size=40),
)
def test_every_message_arrives_in_order_or_is_counted(capacity, steps):
    async def run():
        inbox, sent, got = Inbox(capacity), 0, []
        for step in steps:
            if step == "take":
                if len(inbox):
                    got.append(await anext(inbox))
                continue
            for _ in range(step):
                inbox.put("t", b"%d" % sent)
                sent += 1
            assert len([item for item in inbox._items if isinstance(item, Message)]) <= capacity
        got += await drain(inbox)
        return sent, got

    sent, got = asyncio.run(run())
    position = 0
    for item in got:
        if isinstance(item, Gap):
            assert item.lost > 0
            position += item.lost
        else:
            assert item.payload == b"%d" % position
            position += 1
    assert position == sent


async def test_held_back_until_the_gap_has_its_place():
    inbox = Inbox()
    put(inbox, b"before")
    inbox.hold()
    put(inbox, b"after")
    assert await anext(inbox) == Message("t", b"before")
    waiting = asyncio.create_task(inbox.__anext__())
    await asyncio.sleep(0)
    assert not waiting.done()
    inbox.release(Gap("lost", None))
    assert await waiting == Gap("lost", None)
    assert await anext(inbox) == Message("t", b"after")


async def test_a_gap_is_between_the_messages_before_and_after_the_loss():
    inbox = Inbox()
    put(inbox, b"1", b"2")
    inbox.hold()
    inbox.hold()  # lost again before it was back
    put(inbox, b"3")
    inbox.release(Gap("lost", None))
    assert [getattr(item, "payload", item) for item in await drain(inbox)] == [b"1", b"2", Gap("lost", None), b"3"]


async def test_discard_forgets_topics_and_keeps_the_place_of_the_hold():
    inbox = Inbox()
    for topic in ("a", "b", "a"):
        inbox.put(topic, b"before")
    inbox.hold()
    for topic in ("a", "b"):
        inbox.put(topic, b"after")
    inbox.discard(["a"])
    inbox.release(Gap("lost", None))
    assert await drain(inbox) == [Message("b", b"before"), Gap("lost", None), Message("b", b"after")]


async def test_room_waits_until_half_is_free():
    inbox = Inbox(4)
    put(inbox, b"0", b"1", b"2", b"3")
    assert inbox.full
    waiting = asyncio.create_task(inbox.room())
    await anext(inbox)
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(inbox)
    await asyncio.wait_for(waiting, 10)


async def test_only_one_task_iterates():
    inbox = Inbox()
    first = asyncio.create_task(inbox.__anext__())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one task"):
        await anext(inbox)
    first.cancel()


async def test_a_full_buffer_lets_others_run():
    inbox = Inbox()
    put(inbox, *[b"x"] * 2000)
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    for _ in range(1000):
        await anext(inbox)
    assert ran.is_set()


@given(steps=st.lists(st.sampled_from(["put", "hold", "release", "gap"]), max_size=40))
def test_batches_have_what_iterating_has(steps):
    async def run(*, in_batches):
        inbox, got = Inbox(8), []
        for number, step in enumerate(steps):
            if step == "put":
                inbox.put("t", b"%d" % number)
            elif step == "gap":
                inbox.gap(Gap(f"told {number}", None))
            elif step == "hold":
                inbox.hold()
            else:
                inbox.release(Gap(f"after {number}", None))
        inbox.close()
        if not in_batches:
            return [item async for item in inbox]
        with contextlib.suppress(StopAsyncIteration):
            while True:
                got += await inbox.batch()
        return got

    assert asyncio.run(run(in_batches=True)) == asyncio.run(run(in_batches=False))


async def test_a_batch_waits_for_one_and_leaves_the_rest_of_the_program_its_turn():
    inbox, turns = Inbox(), []
    waiting = asyncio.create_task(inbox.batch())
    await asyncio.sleep(0)
    put(inbox, b"1", b"2")
    assert await waiting == [Message("t", b"1"), Message("t", b"2")]
    put(inbox, *[b"%d" % i for i in range(1_000)])
    asyncio.get_running_loop().call_soon(turns.append, "turn")
    assert 1 <= len(await inbox.batch()) < 1_000
    assert turns == ["turn"]


STEPS = st.one_of(st.sampled_from(["batch", "hold", "release", "gap"]), st.integers(1, 3), st.just(300))


@given(steps=st.lists(STEPS, max_size=25))
def test_messages_passed_on_at_once_keep_their_order(steps):
    async def run(*, at_once):
        inbox, got, number = Inbox(tells_end=True), [], 0
        if at_once:
            inbox.pass_on(lambda topic, payload: got.append(Message(topic, payload)))
        for step in steps:
            if isinstance(step, int):  # a read that brings so many
                for _ in range(step):
                    number += 1
                    inbox.put("t", b"%d" % number)
                inbox.end_read()
            elif step == "batch":
                got += await inbox.batch() if len(inbox) and inbox._readable != 0 else []
            elif step == "gap":
                inbox.gap(Gap(f"told after {number}", None))
            elif step == "hold":
                inbox.hold()
            else:
                inbox.release(Gap(f"lost after {number}", None))
        inbox.close()
        return got + [item async for item in inbox]

    assert asyncio.run(run(at_once=True)) == asyncio.run(run(at_once=False))


def test_the_end_of_a_read_is_reported_once_if_it_passed_something_on():
    told = []
    inbox = Inbox(tells_end=True)
    inbox.pass_on(lambda topic, payload: told.append(payload), lambda: told.append("end"))
    inbox.end_read()
    put(inbox, b"1", b"2")
    inbox.end_read()
    inbox.end_read()
    inbox.pass_on(None)
    put(inbox, b"3")
    inbox.end_read()
    assert told == [b"1", b"2", "end"]
    assert len(inbox) == 1


def test_a_read_passes_on_no_more_than_a_turn_s_messages():
    told = []
    inbox = Inbox(tells_end=True)
    inbox.pass_on(lambda topic, payload: told.append(payload))
    put(inbox, *[b"x"] * 1_000)
    assert 1 <= len(told) < 1_000
    assert len(told) + len(inbox) == 1_000


def test_nothing_is_passed_on_if_the_adapter_does_not_report_the_end_of_a_read():
    inbox = Inbox()
    inbox.pass_on(lambda topic, payload: pytest.fail("passed on, and nobody would send it"))
    put(inbox, b"1")
    assert len(inbox) == 1
