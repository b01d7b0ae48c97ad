"""Who sits where: every seat once over all workers, replicas even for each topic and altogether."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.distributed import dispatch_order
from load.plan import SeatPlan, Share, place


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 8), st.floats(0, 2), st.integers(1, 4))
def test_workers_share_the_seats_without_a_hole(clients, workers, topics, skew, replicas):
    names = [f"t{k}" for k in range(topics)]
    alone = SeatPlan(Share(0, 1, clients), names, skew, replicas)
    expected = [alone.take() for _ in range(clients)]
    plans = [SeatPlan(Share(rank, workers, clients), names, skew, replicas) for rank in range(workers)]
    dealt = [plans[k % workers].take() for k in range(clients)]  # as Locust's dispatcher deals out users
    assert dealt == expected


@given(st.lists(st.sampled_from("abcdef"), max_size=80), st.integers(1, 5))
def test_each_topic_is_spread_evenly(topics, replicas):
    chosen = place(topics, replicas)
    for topic in set(topics):
        counts = Counter(replica for replica, name in zip(chosen, topics, strict=True) if name == topic)
        spread = [counts[k] for k in range(replicas)]
        assert max(spread) - min(spread) <= 1


def test_one_topic_goes_round_robin():
    assert place(["a"] * 5, 2) == [0, 1, 0, 1, 0]


def test_topics_that_alternate_do_not_get_a_replica_each():
    chosen = place(["a", "b"] * 4, 2)
    assert Counter(zip(["a", "b"] * 4, chosen, strict=True)) == {("a", 0): 2, ("a", 1): 2, ("b", 0): 2, ("b", 1): 2}
    assert Counter(chosen) == {0: 4, 1: 4}


def test_a_seat_given_back_is_taken_again():
    plan = SeatPlan(Share(1, 3, 9), ["a"], 0, 1)
    first, second = plan.take(), plan.take()
    plan.give_back(first)
    assert (first.number, second.number, plan.take().number, plan.take().number) == (1, 4, 1, 7)


def test_seats_past_the_plan_begin_again():
    plan = SeatPlan(Share(0, 1, 2), ["a", "b"], 0, 2)
    assert [plan.take().topic for _ in range(4)] == ["a", "b", "a", "b"]


DISPATCHER = """
import sys
from types import SimpleNamespace
from locust.dispatch import UsersDispatcher
class Someone: ...
nodes = [SimpleNamespace(id=name) for name in sys.argv[1:]]
print(*(node.id for node in UsersDispatcher(nodes, [Someone])._worker_nodes))
"""


@pytest.mark.usefixtures("integration")
def test_dispatch_order_is_locusts():
    names = ["hostb_9", "hosta_3", "hosta_1", "hostb_2", "hostc_5", "hosta_2"]
    # in a process of its own, since the import of Locust patches this one
    done = subprocess.run([sys.executable, "-c", DISPATCHER, *names], capture_output=True, text=True, check=True)
    assert dispatch_order(names) == done.stdout.split()
