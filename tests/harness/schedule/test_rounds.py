"""The order of runs."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from harness.schedule.rounds import distinct_names, shuffled_rounds


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))
def test_each_round_holds_each_contender_once(contenders, rounds, seed):
    slots = shuffled_rounds(contenders, rounds, seed)
    assert [slot.round for slot in slots] == sorted(slot.round for slot in slots)
    assert Counter(slots) == Counter((r, i) for r in range(1, rounds + 1) for i in range(contenders))
    assert slots == shuffled_rounds(contenders, rounds, seed)


def test_rounds_are_shuffled_apart():
    slots = shuffled_rounds(6, 20, seed=1)
    orders = {tuple(slot.place for slot in slots if slot.round == r) for r in range(1, 21)}
    assert len(orders) > 10


def test_a_contender_can_be_compared_with_itself():
    assert distinct_names(["valkey", "nats", "valkey", "valkey"]) == ["valkey", "nats", "valkey#2", "valkey#3"]
