"""The ledger of causes: the expected and missing deliveries, and the cause of each loss."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts.generator_report import GeneratorReport
from core.contracts.load_result import Cause
from core.contracts.measures import PhaseCounts
from core.contracts.replica_stats import ReplicaStats
from harness.results.run_record import CAUSES
from harness.runner.loss_causes import Evidence, expected_deliveries, split_by_cause
from tests.core.contracts.made_up import generator_report, replica_stats


def report(stream: str = "s", **measured: int) -> GeneratorReport:
    published = {topic: PhaseCounts(warmup=3, measure=n) for topic, n in measured.items()}
    return generator_report(stream=stream, published=published)


def stats(
    stream: str = "s", *, gap_lost: dict[str, int] | None = None, dropped: int = 0, warmup: int = 3, **measured: int
) -> ReplicaStats:
    received = {stream: {topic: PhaseCounts(warmup=warmup, measure=n) for topic, n in measured.items()}}
    return replica_stats(received=received, gap_lost=gap_lost or {}, dropped=dropped)


WHOLE = Evidence(
    reports=[report(a=100, b=50)],
    stats=[stats(a=100, b=50), stats(a=100, b=50)],
    clients=[{"a": 3, "b": 2}, {"a": 1}],
    client_causes={},
)


def split(lost: int, evidence: Evidence) -> dict[str, int]:
    """The causes with a share of the losses."""
    found = split_by_cause(lost, evidence)
    assert set(found) == set(CAUSES)
    return {cause: count for cause, count in found.items() if count}


def with_stats(*each: ReplicaStats | None, **causes: int) -> Evidence:
    return replace(WHOLE, stats=list(each), client_causes={Cause(name): count for name, count in causes.items()})


def test_expected_is_published_times_the_clients_of_the_topic() -> None:
    assert expected_deliveries(WHOLE) == 100 * (3 + 1) + 50 * 2


def test_a_replica_that_generates_itself_is_heard_by_its_own_clients_only() -> None:
    own = replace(WHOLE, reports=[report("r1", a=10, b=5), report("r2", a=7)], each_its_own=True)
    assert expected_deliveries(own) == 10 * 3 + 5 * 2 + 7 * 1
    heard = replace(own, stats=[stats("r1", a=10, b=5), stats("r2", a=4)])
    assert split(3, heard) == {"broker": 3}


def test_no_loss_charges_no_cause() -> None:
    assert split(0, WHOLE) == {}


def test_what_a_replica_never_received_is_charged_to_the_broker_for_each_client() -> None:
    assert split(3 * 10 + 2 * 5, with_stats(stats(a=90, b=45), stats(a=100, b=50))) == {"broker": 40}


@pytest.mark.parametrize(
    ("gap_lost", "by_gap"),
    [
        ({"a": 10}, 3 * 10),  # reported for the topic with three clients
        ({"b": 4}, 2 * 4),  # and for the one with two
        ({"a": 4, "b": 5}, 3 * 4 + 2 * 5),
        ({"a": 1_000}, 3 * 10),  # more than is missing: part of it was warm-up
        ({"*": 15}, 3 * 10 + 2 * 5),  # of any topic: everything that is missing
        ({"*": 9, "a": 4}, 3 * (4 + 5) + 2 * 4),  # 9 of the other 11: five of six, four of five
        ({"c": 10}, 0),
    ],
)
def test_reported_losses_are_charged_to_the_gap_topic_by_topic(gap_lost: dict[str, int], by_gap: int) -> None:
    lossy = with_stats(stats(a=90, b=45, gap_lost=gap_lost), stats(a=100, b=50))
    expected = {"gap": by_gap, "broker": 40 - by_gap}
    assert split(40, lossy) == {cause: count for cause, count in expected.items() if count}


def test_reported_losses_are_charged_once_and_the_rest_to_its_own_cause() -> None:
    lossy = with_stats(stats(a=90, b=50, gap_lost={"a": 4}), stats(a=100, b=50), gap_reported=30, connection_down=7)
    assert split(37, lossy) == {"gap": 12, "broker": 18, "connection_down": 7}


def test_a_gap_without_losses_charges_nothing() -> None:
    assert split(3, with_stats(stats(a=100, b=50, gap_lost={"a": 5}), None, unexplained=3)) == {"unexplained": 3}


def test_losses_that_clients_explain_are_charged_to_their_cause() -> None:
    known = with_stats(
        stats(a=100, b=50, dropped=4), stats(a=100, b=50), connection_down=10, unexplained=2, under_way=5
    )
    assert split(17, known) == {"slow_client": 4, "connection_down": 6, "unexplained": 2, "under_way": 5}


def test_frames_of_a_slow_client_that_resuming_recovers_are_no_loss() -> None:
    assert split(2, with_stats(stats(a=100, b=50, dropped=400), None, unexplained=2)) == {"unexplained": 2}


def test_a_hole_reported_by_a_silent_replica_is_charged_to_the_broker() -> None:
    assert split(6, with_stats(None, None, gap_reported=6)) == {"broker": 6}


def test_a_restarted_replicas_count_is_no_evidence() -> None:
    again = stats(warmup=0, a=20)
    assert split(9, with_stats(again, stats(a=100, b=50), connection_down=9)) == {"connection_down": 9}


@given(
    st.integers(0, 500),
    st.lists(st.integers(0, 120), min_size=4, max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "*"]), st.integers(0, 200)),
    st.dictionaries(st.sampled_from(["connection_down", "gap_reported", "unexplained"]), st.integers(0, 300)),
)
def test_the_causes_always_sum_to_what_was_lost(
    lost: int, got: list[int], gap_lost: dict[str, int], causes: dict[str, int]
) -> None:
    first = stats(a=got[0], b=got[1], gap_lost=gap_lost, dropped=got[2])
    found = split_by_cause(lost, with_stats(first, stats(a=got[3], b=50), **causes))
    assert sum(found.values()) == lost
    assert min(found.values()) >= 0
