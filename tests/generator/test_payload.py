"""Events of the wanted size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.stamp import Stamp, decode, smallest_bytes
from generator.payload import build, require_size


@given(st.integers(0, 10**12), st.integers(0, 3000))
def test_exactly_as_long_as_asked(seq, extra):
    size = smallest_bytes(["events"]) + extra
    stamp = Stamp("k3f9", seq, "events", "measure", 10**18, 10**18 + 5)
    payload = build(stamp, size)
    assert len(payload) == size
    assert decode(payload) == stamp


def test_a_payload_below_its_stamp_is_refused_with_the_minimum():
    least = smallest_bytes(["a", "größe"])
    require_size(least, ["a", "größe"])
    with pytest.raises(UsageError, match=f"payload_bytes = {least - 1}: .*give {least} or more"):
        require_size(least - 1, ["a", "größe"])
