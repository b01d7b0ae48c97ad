"""A stalling generator cannot hide it: a run is refused exactly if lateness moves one of its figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.runner.checks import LEAST_LATE_MS, MAX_LATE_SHARE, problems
from load.frames import Event
from load.latency_recorder import LatencyRecorder
from load.ledger import Series
from load.result import build_result
from load.worker_result import WorkerResult
from tests.harness.runner.test_checks import GOOD

EVENTS = 2_000
INTERVAL_NS = 5_000_000
PRECISION = 0.002
"""The error of a histogram with three significant digits, and of a quantile between two events."""


def figures_of(late_ms, way_ms):
    """The load's result for events that were sent this late and then took this long."""
    series, recorder = Series("s", "t"), LatencyRecorder()
    events = []
    for seq, (late, way) in enumerate(zip(late_ms, way_ms, strict=True)):
        event = Event(series, seq, True, "replica-1", f"s-{seq}")
        event.due_ns = 1_700_000_000_000_000_000 + seq * INTERVAL_NS
        event.sent_ns = event.due_ns + int(late * 1e6)
        event.received_ns = event.sent_ns + int(way * 4e5)
        event.arrived(event.sent_ns + int(way * 1e6))
        events.append(event)
    recorder.fold(events)
    recorder.close()
    result = build_result(WorkerResult(spans=recorder.spans, servers=recorder.servers), 1, [])
    return replace(GOOD, latency_ms=result.latency_ms, since_sent_ms=result.since_sent_ms)


def late_words(facts):
    return [problem for problem in problems(facts) if problem.startswith("generator late")]


def stalled(stall_ms, each_ms=0.1):
    """The lateness of events that were due while the generator stalled for this long, in the middle of the run."""
    lateness = np.full(EVENTS, each_ms)
    stood = np.arange(stall_ms, 0, -INTERVAL_NS / 1e6)
    lateness[EVENTS // 2 : EVENTS // 2 + len(stood)] += stood
    return lateness


WAY_MS = np.random.default_rng(1).gamma(4, 0.5, EVENTS)
"""About 2 ms, sometimes 5."""


@pytest.mark.parametrize("stall_ms", [150, 300, 1_000, 3_000])
def test_a_stall_is_noticed_whatever_is_seen_of_latency_from_the_send(stall_ms):
    facts = figures_of(stalled(stall_ms), WAY_MS)
    assert facts.since_sent_ms.p99 < 6, "from the send nothing can be seen of it"
    assert late_words(facts)


def test_a_generator_that_is_always_a_little_late_is_noticed():
    assert late_words(figures_of(np.full(EVENTS, 0.7), WAY_MS / 2))


def test_late_and_slow_events_that_move_a_figure_only_together_are_noticed():
    late, way = np.full(EVENTS, 0.1), np.full(EVENTS, 2.0)
    late[:18] = 100  # less than a hundredth of them
    way[100:118] = 100
    facts = figures_of(late, way)
    assert facts.since_sent_ms.p99 < 3
    assert facts.latency_ms.p99 > 90
    assert late_words(facts)


def test_lateness_that_no_figure_shows_refuses_nothing():
    late = np.full(EVENTS, 0.1)
    late[::200] = 8.0  # 0.5% of the events, which a fixed bound on p99 would miss; small against 30 ms
    assert not late_words(figures_of(late, WAY_MS + 30))
    assert not late_words(figures_of(np.full(EVENTS, 5.0), WAY_MS + 30)), "5 ms of 37 do not change the figure"


@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0.05, 300)), min_size=20, max_size=300),
    st.sampled_from(sorted(LEAST_LATE_MS)),
)
@settings(deadline=None, max_examples=60)
@pytest.mark.slow
def test_a_run_that_is_not_refused_shows_no_figure_that_lateness_made(pairs, name):
    late, way = (np.array(column) for column in zip(*pairs, strict=True))
    facts = figures_of(late, way)
    quantile = float(name[1:])
    with_it, without = (np.percentile(values, quantile, method="inverted_cdf") for values in (late + way, way))
    allowed = max(LEAST_LATE_MS[name], MAX_LATE_SHARE * without)
    if not late_words(facts):
        assert with_it - without <= allowed + PRECISION * (with_it + without) + 0.01
