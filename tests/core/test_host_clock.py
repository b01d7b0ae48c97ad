"""The identity of a clock, and the mark in an event that contains it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock_offset import OffsetInterval
from core.host_clock import MARK_BYTES, ClockMark, HostClock, host_name, mark_text, short_name
from core.stamp import Stamp, encode, read_received

MS = 1_000_000
CLOCK = HostClock("1f2e3d", 1_764_000_000_123_456_000)


def test_this_process_has_one_clock_and_another_host_has_another():
    first, second = HostClock.read(), HostClock.read()
    assert first.host == host_name()
    assert first.is_same(second)
    assert not first.is_same(HostClock("000000", first.boot_ns))
    assert not first.is_same(HostClock(first.host, first.boot_ns + MS))


def test_a_clock_comes_back_as_it_was_written():
    assert HostClock.parse(str(CLOCK)) == CLOCK


@pytest.mark.parametrize("text", ["", ".", "abc", "abc.", "abc.xyz", ".12", "a." + "1" * 100])
def test_an_invalid_clock_is_none(text):
    assert HostClock.parse(text) is None


offsets = st.integers(-(10**17), 10**17)


@given(offsets, st.integers(0, 10**12))
def test_a_mark_is_read_back_with_its_values(low_ns, width_ns):
    ahead = OffsetInterval(low_ns, low_ns + width_ns)
    text = ClockMark(CLOCK, short_name("replica-1"), ahead).encode()
    found = ClockMark.parse(mark_text(text + "xxxx"))
    assert len(text) <= MARK_BYTES
    assert found is not None
    assert (found.clock, found.server) == (CLOCK, short_name("replica-1"))
    assert found.ahead is not None
    assert low_ns - 1000 < found.ahead.low_ns <= low_ns
    assert low_ns + width_ns <= found.ahead.high_ns < low_ns + width_ns + 1000


def test_a_mark_without_a_comparison_comes_back():
    assert ClockMark.parse(mark_text(ClockMark(CLOCK).encode() + "xx")) == ClockMark(CLOCK)


@given(st.text(max_size=80))
def test_other_padding_has_no_mark(content):
    assert ClockMark.parse(mark_text(content)) is None or content.startswith("c=")
    ClockMark.parse(mark_text("c=" + content))


def test_a_mark_passes_through_a_replica_as_padding():
    mark = ClockMark(CLOCK, "ab12", OffsetInterval(-5 * MS, 7 * MS)).encode()
    published = encode(Stamp("abc", 1, "events", "measure", 10, 11), mark + "xxx")
    received = read_received('{"server":"replica-1","received_ns":12,' + published.decode()[1:])
    assert received is not None
    assert mark_text(received.pad) == mark.removeprefix("c=").strip()
