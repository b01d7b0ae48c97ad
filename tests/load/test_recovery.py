"""A fault as seen by a client."""

from load.recovery import Recovery


def test_the_first_event_is_the_first_that_was_due_after_the_mark():
    recovery = Recovery(1_000)
    recovery.note(900, 1_200)  # was in flight when the fault began
    assert recovery.waiting
    recovery.note(1_000, 5_000)
    recovery.note(1_100, 6_000)
    assert (recovery.waiting, recovery.first_event_ns) == (False, 4_000)


def test_the_longest_silence_is_kept():
    recovery = Recovery(0)
    recovery.heard(0, 90)  # nothing arrived before
    recovery.heard(90, 100)
    recovery.heard(100, 700)
    recovery.heard(700, 710)
    assert recovery.longest_silence_ns == 600
