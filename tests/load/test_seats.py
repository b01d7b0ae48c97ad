"""Each seat belongs to one process, and there are never too many, whichever processes come and go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.seats import SeatPool

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.just("return"), st.sampled_from("abc"), st.integers(1, 9)),
        st.tuples(st.just("forget"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("seats"), st.just(""), st.integers(0, 20)),
    )
)


@given(ACTIONS)
@pytest.mark.slow
def test_nobody_shares_a_seat_and_requests_get_free_ones(actions):
    pool, seats = SeatPool(), 10
    held = {name: [] for name in "abc"}
    asking = dict.fromkeys("abc", 0)
    for action, who, count in actions:
        if action == "ask":
            asking[who] += count
            pool.ask(who, count)
        elif action == "return":
            returned, held[who] = held[who][:count], held[who][count:]
            pool.give_back(who, returned)
        elif action == "forget":
            held[who], asking[who] = [], 0
            pool.forget(who)
        else:
            seats = count
        for grant in pool.deal(seats):
            held[grant.holder] += grant.numbers
            asking[grant.holder] -= len(grant.numbers)
        taken = [number for numbers in held.values() for number in numbers]
        assert len(taken) == len(set(taken))
        assert all(left >= 0 for left in asking.values())
        if sum(asking.values()):
            assert len(taken) >= seats


def test_the_lowest_free_seat_comes_first():
    pool = SeatPool()
    pool.ask("a", 4)
    assert pool.deal(4) == [("a", [0, 1, 2, 3])]
    pool.give_back("a", [2, 0])
    pool.ask("b", 3)
    assert pool.deal(4) == [("b", [0, 2])]
    assert pool.deal(5) == [("b", [4])]


def test_a_seat_that_another_holds_cannot_be_returned():
    pool = SeatPool()
    pool.ask("a", 1)
    pool.deal(1)
    pool.forget("a")  # it was considered dead
    pool.ask("b", 1)
    assert pool.deal(1) == [("b", [0])]
    pool.give_back("a", [0])
    pool.ask("c", 1)
    assert pool.deal(1) == []
