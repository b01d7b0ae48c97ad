"""Deliveries are entered into Locust's table in bulk: as many, and with the same times, as one by one."""

import numpy as np
import pytest

from load.locust_table import bucket_ms, count_ms


@pytest.mark.parametrize("longest_ms", [5, 50, 5_000, 70_000, 3_000_000])
def test_every_latency_is_counted_at_its_own_value(longest_ms):
    ms = np.random.default_rng(longest_ms).uniform(0, longest_ms, 500)
    counted = count_ms((ms * 1e6).astype(np.int64))
    assert sum(count for _, count in counted) == 500
    listed = np.sort(np.repeat([value for value, _ in counted], [count for _, count in counted]))
    assert np.abs(listed - np.sort(ms)).max() <= 1
    assert [value for value, _ in counted if value < 10] == sorted(
        {float(int(one * 10) / 10) for one in ms if one < 10}
    )


def test_nothing_counts_as_zero_and_over_an_hour_counts_as_an_hour():
    assert count_ms(np.empty(0, np.int64)) == []
    assert count_ms(np.array([-1, 10**16], np.int64)) == [(0.0, 1), (3_600_000.0, 1)]


def test_a_minute_is_distinguished_from_an_hour():
    assert [bucket_ms(value) for value in (0.04, 9.94, 99.4, 994, 60_400, 3_599_600)] == [
        0.0,
        9.9,
        99,
        990,
        60_000,
        3_600_000,
    ]
