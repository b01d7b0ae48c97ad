"""Buckets have the meaning that Prometheus defines: each counts the values up to its bound."""

from hypothesis import given
from hypothesis import strategies as st

from core.latency_buckets import BOUNDS_S, NS_PER_S, LatencyBuckets


@given(st.lists(st.integers(-(10**9), 10**11) | st.sampled_from([round(bound * NS_PER_S) for bound in BOUNDS_S])))
def test_each_bucket_counts_what_is_no_longer_than_its_end(found):
    buckets = LatencyBuckets()
    for latency_ns in found:
        buckets.add(latency_ns)
    ends_ns = [round(bound * NS_PER_S) for bound in BOUNDS_S]
    assert buckets.cumulative() == [sum(ns <= end for ns in found) for end in ends_ns] + [len(found)]
    assert buckets.negative == sum(ns < 0 for ns in found)
    assert buckets.sum_s == sum(ns for ns in found if ns > 0) / NS_PER_S
