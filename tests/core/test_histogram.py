"""The bulk histogram agrees with the library's one-by-one recording and with sorted values."""

import pickle

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts.measures import Percentiles
from core.histogram import HIGHEST_US, LOWEST_US, SIGNIFICANT_FIGURES, Histogram

DURATIONS_NS = st.lists(st.integers(0, HIGHEST_US * 1000) | st.integers(0, 10_000_000), min_size=1, max_size=60)


def library(values_ns):
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_FIGURES)
    for value in values_ns:
        histogram.record_value(value // 1000)
    return histogram


@pytest.mark.slow
@given(DURATIONS_NS)
@settings(max_examples=40)  # the library records values one by one, and lists all its buckets each time
def test_counts_are_the_librarys(values):
    ours, theirs = Histogram(), library(values)
    ours.record_ns(values)
    assert np.array_equal(ours.counts(), np.ctypeslib.as_array(theirs.counts))
    assert ours.count == len(values)
    assert ours.mean_ms() * 1000 == pytest.approx(theirs.get_mean_value())
    for percentile in (0.1, 50, 90, 99, 99.9, 100):
        assert ours.percentile_ms(percentile) * 1000 == pytest.approx(theirs.get_value_at_percentile(percentile))


@given(DURATIONS_NS)
def test_percentiles_are_within_a_thousandth_of_the_sorted_values(values):
    histogram = Histogram()
    histogram.record_ns(values)
    ordered_us = sorted(v // 1000 for v in values)
    for percentile in (50, 99):
        rank = max(1, int(percentile * len(values) / 100 + 0.5))  # HDR rounds where others round up
        exact_ms = ordered_us[rank - 1] / 1000
        assert histogram.percentile_ms(percentile) == pytest.approx(exact_ms, rel=1.1e-3, abs=1e-3)


@given(DURATIONS_NS, DURATIONS_NS)
def test_merge_and_encode_keep_every_count(first, second):
    one, other, both = Histogram(), Histogram(), Histogram()
    one.record_ns(first)
    other.record_ns(second)
    both.record_ns(first + second)
    one.merge(Histogram.decode(other.encode()))
    assert np.array_equal(one.counts(), both.counts())
    assert one.summary_ms() == both.summary_ms()


@pytest.mark.parametrize("values_ns", [[], [-1, 2_000, 3_000_000, (HIGHEST_US + 1) * 1000]])
def test_a_pickled_histogram_is_the_same(values_ns):
    ours = Histogram()
    ours.record_ns(values_ns)
    again = pickle.loads(pickle.dumps(ours))
    assert np.array_equal(again.counts(), ours.counts())
    assert (again.count, again.negative, again.over) == (ours.count, ours.negative, ours.over)
    assert (again.max_ms(), again.encode()) == (ours.max_ms(), ours.encode())


def test_weights_repeat_a_value():
    weighted, repeated = Histogram(), Histogram()
    weighted.record_ns([1_000_000, 9_000_000], weights=[3, 2])
    repeated.record_ns([1_000_000] * 3 + [9_000_000] * 2)
    assert list(weighted.counts()) == list(repeated.counts())


def test_negative_values_are_counted_and_kept_out():
    histogram = Histogram()
    histogram.record_ns([-5, 1000, -1], weights=[2, 1, 1])
    assert (histogram.count, histogram.negative) == (1, 3)


def test_values_over_an_hour_are_clamped_and_counted():
    histogram = Histogram()
    histogram.record_ns([HIGHEST_US * 1000 + 5000, 1000])
    assert (histogram.count, histogram.over) == (2, 1)
    assert histogram.max_ms() == pytest.approx(HIGHEST_US / 1000, rel=1e-3)


def test_empty():
    assert Histogram().summary_ms() == Percentiles(p50=0, p90=0, p99=0, p999=0, max=0)
    assert Histogram.decode(Histogram().encode()).count == 0


@pytest.mark.parametrize("text", ["", "hello", "AAAA", "é"])
def test_decode_names_what_is_wrong(text):
    with pytest.raises(ValueError, match="HDR V2"):
        Histogram.decode(text)
