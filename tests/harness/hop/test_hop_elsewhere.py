"""The broker hop to replicas elsewhere: what growing counters say about one measurement."""

import pytest

from core.contracts.clock import ClockOffset
from core.contracts.hop import HopFigures
from core.contracts.measures import PhaseCounts
from core.errors import FanbenchError
from core.scenario import Scenario
from harness.hop.elsewhere import (
    ReplicaCounters,
    counters_of,
    figures_of,
    percentile_s,
    require_clocks,
    require_subscribed,
)
from harness.runner.replicas_elsewhere import ReplicaElsewhere
from tests.core.contracts.made_up import generator_report, replica_stats
from tests.server.program import running

INF = float("inf")


@pytest.mark.parametrize(("percentile", "seconds"), [(50, 0.001), (25, 0.0005), (75, 0.003), (99, 0.01), (100, 0.01)])
def test_a_percentile_lies_within_its_bucket(percentile, seconds):
    buckets = [(0.001, 50.0), (0.005, 100.0 - 2), (0.01, 98.0), (INF, 100.0)]
    expected = {75: 0.001 + 0.004 * 25 / 48}.get(percentile, seconds)
    assert percentile_s(buckets, percentile) == pytest.approx(expected)


def test_nothing_has_no_percentile():
    assert percentile_s([(0.001, 0.0), (INF, 0.0)], 50) is None
    nothing = [ReplicaCounters({0.001: 3.0, INF: 3.0}, 5.0)]
    report = generator_report(
        published={"events": PhaseCounts(warmup=0, measure=100)}, clocks={"r": ClockOffset(ahead_ms=9, bound_ms=0)}
    )
    found = figures_of(report, 100, nothing, nothing)
    assert (found.p50_us, found.p99_us, found.client_us) == (None, None, None)
    require_clocks(report, found, 1)


def test_figures_come_from_the_growth_between_two_samples_of_all_replicas():
    report = generator_report(published={"events": PhaseCounts(warmup=10, measure=100)})
    before = [ReplicaCounters({0.001: 1000.0, INF: 1000.0}, 5.0), ReplicaCounters({0.001: 0.0, INF: 7.0}, 1.0)]
    after = [ReplicaCounters({0.001: 1110.0, INF: 1110.0}, 5.011), ReplicaCounters({0.001: 110.0, INF: 117.0}, 1.011)]
    found = figures_of(report, 3, before, after)
    assert (found.messages, found.published, found.lost) == (200, 110, 3)
    assert found.p50_us == pytest.approx(500)
    assert found.client_us == pytest.approx(100)


@pytest.mark.parametrize(
    ("ahead_ms", "bound_ms", "right"),
    [(0.02, 0.05, True), (-0.04, 0.0, True), (20.0, 0.1, False), (-20.0, 0.1, False), (20.0, 30.0, True)],
)
def test_a_replica_with_another_clock_cannot_be_timed(ahead_ms, bound_ms, right):
    report = generator_report(clocks={"replica-1": ClockOffset(ahead_ms=ahead_ms, bound_ms=bound_ms)})
    figures = HopFigures(
        messages=1,
        published=1,
        lost=0,
        achieved_hz=1.0,
        p50_us=max(500.0, 1000 * ahead_ms),
        p99_us=900.0,
        client_us=5.0,
    )
    if right:
        require_clocks(report, figures, 1)
    else:
        with pytest.raises(FanbenchError, match=r"the clock of replica-1 is [+-]20\.000 ms ahead of the generator's"):
            require_clocks(report, figures, 1)


def test_a_replica_whose_clock_nobody_knows_cannot_be_timed():
    """Its clock was never heard, or the generators' own clocks differ, so that their offsets exclude each other."""
    report = generator_report(clocks={"replica-1": ClockOffset(ahead_ms=0.0, bound_ms=0.01)})
    timed = HopFigures(messages=1, published=1, lost=0, achieved_hz=1.0, p50_us=500.0, p99_us=900.0, client_us=5.0)
    require_clocks(report, timed, 1)
    with pytest.raises(FanbenchError, match="the clocks of 1 of 2 replicas are unknown, or the generators' own clocks"):
        require_clocks(report, timed, 2)


def test_a_replica_that_does_not_hear_a_topic_is_named():
    hears = ReplicaElsewhere("http://a:8000", before=replica_stats(topics={"room-0": 0, "room-1": 3}))
    require_subscribed([hears], Scenario(topics="room-{0..1}"))
    with pytest.raises(
        FanbenchError, match=r"http://a:8000 is not subscribed to 2 of 4 topics, first to 'room-2': hop has"
    ):
        require_subscribed([hears], Scenario(topics="room-{0..3}"))


@pytest.mark.usefixtures("integration")
def test_a_replica_reports_its_counters(tmp_path):
    with running(tmp_path, broker_url="memory://") as replica:
        found = counters_of(ReplicaElsewhere(f"http://127.0.0.1:{replica.port}"))
        assert INF in found.buckets
        assert found.cpu_s > 0
