"""The shares of a schedule cover all of it, and no event is in two of them."""

import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts.session_rules import SessionRules
from core.errors import UsageError
from generator.plan import in_order, of_topics, plan_sessions, plan_topics
from generator.publish import EventPublisher
from generator.schedule import Schedule
from generator.settings import GeneratorSettings
from generator.share import WHOLE, Share, parse_share
from tests.generator.test_publish import Recorder

TOPICS = [f"room-{n}" for n in range(7)]


def plan(order, kind, seed, rate_hz):
    schedule = Schedule(kind, rate_hz, 5, seed)
    return plan_topics(schedule, in_order(TOPICS, order, 5 if kind == "burst" else 1, seed), 0.5, 2)


def require_split(whole, parts):
    """The parts cover the schedule: each event once, and each topic's events in one part, in order."""
    assert Counter(itertools.chain(*parts)) == Counter(whole)
    for part in parts:
        topics = {event.topic for event in part}
        assert part == [event for event in whole if event.topic in topics]


@given(
    st.integers(1, 7),
    st.sampled_from(["turn", "random"]),
    st.sampled_from(["constant", "poisson", "burst"]),
    st.integers(0, 1_000),
    st.floats(5, 400),
)
@settings(deadline=None, max_examples=60)
@pytest.mark.slow
def test_shares_of_topics_are_the_whole_schedule_and_disjoint(of, order, kind, seed, rate_hz):
    whole = list(plan(order, kind, seed, rate_hz))
    own = [frozenset(share.topics_of(TOPICS)) for share in WHOLE.split(of)]
    assert sorted(itertools.chain(*own)) == sorted(TOPICS)
    require_split(whole, [list(of_topics(plan(order, kind, seed, rate_hz), topics)) for topics in own])


@given(st.integers(1, 5), st.integers(0, 100), st.floats(0.5, 5))
@settings(deadline=None, max_examples=20)
def test_shares_of_sessions_are_all_sessions_and_disjoint(of, seed, arrivals_hz):
    rules = SessionRules(
        seed=seed,
        arrivals_hz=arrivals_hz,
        lifetime_s=(1, 2),
        rate_hz=(10, 30),
        payload_bytes=(0, 9),
        warmup_s=0.5,
        duration_s=4,
    )
    parts = [list(plan_sessions(rules, share)) for share in WHOLE.split(of)]
    require_split(list(plan_sessions(rules)), parts)


@given(st.integers(1, 12), st.integers(1, 6), st.data())
def test_the_processes_of_a_share_are_that_share(of, processes, data):
    share = Share(data.draw(st.integers(1, of)), of)
    for index in range(200):
        holders = [part for part in share.split(processes) if part.holds(index)]
        assert len(holders) == share.holds(index)


@given(st.integers(1, 1_024), st.data())
def test_a_share_is_read_as_it_is_written(of, data):
    share = Share(data.draw(st.integers(1, of)), of)
    assert parse_share(str(share)) == share


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "/", "a/b", "1/2/3", "-1/3", "1/2000", "１/２０００"])
def test_an_invalid_share_is_refused(text):
    with pytest.raises(ValueError, match="give for instance 2/3"):
        parse_share(text)


def test_a_share_without_a_topic_is_refused():
    with pytest.raises(UsageError, match=r"share 2/2: no topic is left for it; there are 1"):
        EventPublisher(Recorder(), GeneratorSettings(topics="events", share="2/2"))


async def test_publishers_of_all_shares_publish_what_one_does_in_one_stream():
    fields = {"rate_hz": 400, "warmup_s": 0.1, "duration_s": 0.2, "topics": "room-{0..4}", "topic_order": "random"}
    fields |= {"schedule": "poisson", "seed": 5, "starts_at": "2026-11-30T06:00:00Z"}

    async def published(share):
        recorder = Recorder()
        publisher = EventPublisher(recorder, GeneratorSettings(**fields, share=share))
        await publisher.run()
        await publisher.flush()
        return publisher.stream, [(stamp.topic, stamp.seq, stamp.phase) for stamp in recorder.stamps]

    (stream, whole), *parts = await asyncio.gather(*(published(share) for share in ("", "1/3", "2/3", "3/3")))
    assert {name for name, _ in parts} == {stream}
    assert sorted(itertools.chain(*(events for _, events in parts))) == sorted(whole)
