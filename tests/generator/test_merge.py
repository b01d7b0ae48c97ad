"""The reports of shares, merged into that of one schedule."""

import pytest

from core.contracts.clock import ClockOffset
from core.contracts.codec import decode, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.measures import PhaseCounts
from core.errors import UsageError
from core.histogram import Histogram
from generator.merge import merge, merge_files
from tests.core.contracts.made_up import encoded, generator_report


def share(topic, **fields):
    return generator_report(published={topic: PhaseCounts(warmup=3, measure=20)}, **fields)


def test_counts_and_rates_add_up_and_the_outage_is_the_longest():
    one = share("a", failed=2, failures={"gone": 2}, measure_ended_ns=3_000, measure_started_ns=0, clock_step_ns=-5_000)
    other = share(
        "b",
        failed=3,
        failures={"gone": 1, "late": 2},
        retried=4,
        longest_outage_ms=99.0,
        measure_started_ns=1_500,
        measure_ended_ns=2_000,
        lateness_histogram=encoded(30, 8.0),
        lateness_negative=1,
    )
    found = merge({"a.json": one, "b.json": other})
    assert found.measured() == {"a": 20, "b": 20}
    assert (found.failed, found.failures, found.retried) == (5, {"gone": 3, "late": 2}, 4)
    assert (found.scheduled, found.offered_hz, found.achieved_hz, found.cpu_s) == (40, 20.0, 20.0, 1.0)
    assert found.longest_outage_ms == 99.0
    assert (found.measure_started_ns, found.measure_ended_ns, found.clock_step_ns) == (1_500, 3_000, -5_000)
    assert Histogram.decode(found.lateness_histogram).count == 50
    assert found.lateness_ms.p50 == pytest.approx(8.0, rel=0.01)
    assert found.lateness_negative == 1


def test_a_clock_has_the_narrowest_bound_of_the_shares_unless_they_contradict_each_other():
    near, far = ClockOffset(ahead_ms=1.0, bound_ms=0.1), ClockOffset(ahead_ms=500.0, bound_ms=0.1)
    wide = ClockOffset(ahead_ms=1.5, bound_ms=2.0)
    found = merge(
        {"a": share("a", clocks={"one": wide, "two": near}), "b": share("b", clocks={"one": near, "two": far})}
    )
    assert found.clocks == {"one": near}


def test_one_report_stays_the_same():
    assert merge({"a": share("a")}).measured() == {"a": 20}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"topic": "b", "stream": "t"}, "a.json is of stream s, b.json of t"),
        ({"topic": "a"}, "a.json and b.json both published to topic a"),
    ],
)
def test_reports_of_different_schedules_are_refused(other, words):
    with pytest.raises(UsageError, match=words):
        merge({"a.json": share("a"), "b.json": share(**other)})


def test_files_are_merged_and_a_missing_or_repeated_one_is_reported(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    write(share("a"), tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"b\.json: no such file"):
        merge_files(paths)
    write(share("b"), tmp_path / "b.json")
    with pytest.raises(UsageError, match=r"a\.json is named twice"):
        merge_files([paths[0], paths[0]])
    with pytest.raises(UsageError, match="no report is named"):
        merge_files([])
    assert decode(GeneratorReport, merge_files(paths), "the answer").measured() == {"a": 20, "b": 20}
