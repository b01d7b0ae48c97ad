"""Which event is due when, on which topic."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts.session_rules import SessionRules
from core.token_sessions import sessions
from generator.plan import in_order, plan_sessions, plan_topics
from generator.schedule import Schedule

TOPICS = [f"user-{n}" for n in range(40)]


@given(st.integers(0, 30), st.floats(0.2, 5), st.floats(0, 3))
@settings(deadline=None, max_examples=25)
def test_the_events_of_sessions_are_due_in_order_each_once_and_with_their_bytes(seed, arrivals_hz, warmup_s):
    rules = SessionRules(
        seed=seed,
        arrivals_hz=arrivals_hz,
        lifetime_s=(1, 3),
        rate_hz=(10, 40),
        payload_bytes=(0, 9),
        warmup_s=warmup_s,
        duration_s=5,
    )
    plan = list(plan_sessions(rules))
    assert [event.offset_ns for event in plan] == sorted(event.offset_ns for event in plan)
    by_topic = {}
    for event in plan:
        assert event.phase == ("warmup" if event.offset_ns < rules.warmup_ns else "measure")
        by_topic.setdefault(event.topic, []).append(event)
    for session in sessions(rules):
        events = by_topic.pop(session.topic)
        assert [event.offset_ns for event in events] == list(session.due_ns)
        assert [event.content for event in events] == [session.payload(seq) for seq in range(len(events))]
        assert len([event for event in events if event.phase == "warmup"]) == session.measured_from
    assert not by_topic


def test_topics_take_turns():
    plan = plan_topics(Schedule("constant", 10), in_order(["a", "b", "c"], "turn", 1, 1), 0.2, 0.5)
    assert [event.topic for event in plan] == ["a", "b", "c", "a", "b", "c", "a"]


@pytest.mark.parametrize("burst_events", [7, 40, 100])
def test_a_burst_at_random_goes_to_different_topics_and_all_have_their_share(burst_events):
    size = min(burst_events, len(TOPICS))
    picked = list(itertools.islice(in_order(TOPICS, "random", burst_events, 1), 4_000))
    for start in range(0, len(picked) - size, size):
        assert len(set(picked[start : start + size])) == size
    counts = Counter(picked)
    assert set(counts) == set(TOPICS)
    assert max(counts.values()) < 2 * min(counts.values())
    assert list(itertools.islice(in_order(TOPICS, "random", burst_events, 2), 40)) != picked[:40]
