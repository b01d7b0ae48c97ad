"""Topic lists, and which client listens to which topic."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.topics import MAX_TOPICS, expand_topics, topic_pattern, topics_in_turn


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("events", ["events"]),
        ("a,b", ["a", "b"]),
        ("a,b,a", ["a", "b"]),
        ("room-{0..2}", ["room-0", "room-1", "room-2"]),
        ("r{8..10}x,z", ["r8x", "r9x", "r10x", "z"]),
        ("größe/λ", ["größe/λ"]),
    ],
)
def test_expand(text, names):
    assert expand_topics(text) == names


@pytest.mark.parametrize(
    "text",
    [
        *("", "a,", "a b", "r{3..1}", "r{0..100000}", "a\n", "r{0..9}-{0..9}", "r{a..c}", "r{0..1_0}"),
        *(f"r{{0..{'9' * 5000}}}", ",".join(f"r{i}-{{0..99999}}" for i in range(1000))),
    ],
    ids=range(11),
)
def test_expand_refuses(text):
    with pytest.raises(UsageError, match="topic"):
        expand_topics(text)


def test_a_pattern_names_the_requested_number_of_topics():
    assert topic_pattern(1) == "events"
    assert len(expand_topics(topic_pattern(1000))) == 1000


@given(st.integers(1, 40), st.integers(0, 500), st.floats(0, 3))
def test_any_number_of_clients_has_the_topics_in_proportion(topic_count, clients, skew):
    topics = [f"t{i}" for i in range(topic_count)]
    assigned = list(islice(topics_in_turn(topics, skew), clients))
    assert len(assigned) == clients
    weights = [1 / (k + 1) ** skew for k in range(topic_count)]
    for topic, weight in zip(topics, weights, strict=True):
        assert abs(assigned.count(topic) - clients * weight / sum(weights)) < 1 + 1e-6


def test_without_skew_the_topics_go_round():
    assert list(islice(topics_in_turn(["a", "b", "c"], 0), 7)) == ["a", "b", "c", "a", "b", "c", "a"]


def test_as_many_topics_as_there_may_be_are_dealt_out_at_once():
    """With a sum for each topic this took ten billion additions, and no client ever connected."""
    names = expand_topics(f"user-{{0..{MAX_TOPICS - 1}}}")
    assert list(islice(topics_in_turn(names, 0.5), 3)) == ["user-0", "user-1", "user-2"]
    assert list(islice(topics_in_turn(names, 0), MAX_TOPICS)) == names
