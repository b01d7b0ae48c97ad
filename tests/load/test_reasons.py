"""Reasons whose words a server chooses: a different one for each event would fill the memory and the summary."""

from collections import Counter

from load.reasons import MOST_REASONS, OTHERS, Reasons, told


def test_few_reasons_are_counted_each():
    reasons = Reasons()
    for reason in ("a", "b", "a"):
        reasons[reason] += 1
    assert reasons.copy() == Counter({"a": 2, "b": 1})
    assert told(reasons.copy()) == "2 x a, 1 x b"


def test_beyond_some_they_are_counted_together_and_the_most_frequent_are_shown():
    reasons = Reasons()
    for number in range(10_000):
        reasons[f"seq is 'x{number}'"] += 1
        reasons["usual"] += 1
    counts = reasons.copy()
    assert (counts["usual"], counts[OTHERS], sum(counts.values())) == (10_000, 10_000 - MOST_REASONS + 1, 20_000)
    assert len(counts) == MOST_REASONS + 1
    assert told(counts) == (
        "9,951 x other reasons, 1 x seq is 'x0', 1 x seq is 'x1', 1 x seq is 'x2', 10,000 x usual, 46 for 46 other reasons"
    )
