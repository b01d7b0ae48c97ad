"""Seats: topics and replicas are evenly used, for each topic and in total, whatever the number of seats."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from load.plan import Seating


@given(st.integers(1, 200), st.integers(1, 8), st.floats(0, 2), st.integers(1, 5))
def test_each_topic_is_spread_evenly_over_replicas(clients, topics, skew, replicas):
    seating = Seating([f"t{k}" for k in range(topics)], skew, replicas)
    seats = [seating.seat(number) for number in range(clients)]
    assert [seat.number for seat in seats] == list(range(clients))
    for topic in {seat.topic for seat in seats}:
        counts = Counter(seat.replica for seat in seats if seat.topic == topic)
        spread = [counts[k] for k in range(replicas)]
        assert max(spread) - min(spread) <= 1


@given(st.integers(1, 60), st.permutations(range(20)))
def test_a_seat_is_the_same_whoever_asks_and_when(topics, order):
    names = [f"t{k}" for k in range(topics)]
    one, other = Seating(names, 1.0, 3), Seating(names, 1.0, 3)
    assert [one.seat(number) for number in order] == [other.seat(number) for number in order]


def test_one_topic_goes_round_robin():
    seating = Seating(["a"], 0, 2)
    assert [seating.seat(number).replica for number in range(5)] == [0, 1, 0, 1, 0]


def test_topics_that_alternate_do_not_get_a_replica_each():
    seating = Seating(["a", "b"], 0, 2)
    seats = [seating.seat(number) for number in range(8)]
    counts = Counter((seat.topic, seat.replica) for seat in seats)
    assert counts == {("a", 0): 2, ("a", 1): 2, ("b", 0): 2, ("b", 1): 2}
