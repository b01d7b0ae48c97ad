"""Waiting for a number to grow: only as long as it grows."""

import time

import pytest

from core.errors import TransientError
from harness.runner.polling import poll_growth


@pytest.mark.slow
def test_a_slowly_growing_number_may_take_longer_than_one_step():
    began = time.monotonic()
    assert poll_growth("clients connected", 1.0, lambda: int((time.monotonic() - began) / 0.25), 8) == 8
    assert time.monotonic() - began > 1.0


@pytest.mark.slow
def test_a_number_that_stops_growing_is_named_with_its_last_value():
    began = time.monotonic()
    with pytest.raises(TransientError, match=r"clients connected: 3 of 8 so far, and one more: not within 1 s"):
        poll_growth("clients connected", 1.0, lambda: min(3, int((time.monotonic() - began) / 0.1)), 8)
