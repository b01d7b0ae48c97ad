"""The sentences state the judgements, pair by pair, and claim nothing else."""

from __future__ import annotations

import math

import pytest

from harness.analysis.boundaries import Looks
from harness.analysis.judgement_words import beaten, not_settled, of_figure, unbeaten
from harness.analysis.judgements import BROKER, FIGURES, P50, P99, FamilyJudgement, PairJudgement, _rounds_needed
from harness.analysis.statistics import Difference, Interval


def pair(figure: str, faster: str, slower: str, ratio: tuple[float, float, float], more: int = 0) -> PairJudgement:
    low, estimate, high = ratio
    return PairJudgement(figure, faster, slower, Interval(estimate, low, high), 20, 1.25, more, more / 4)


EQUAL, APART, OPEN = (0.9, 1.02, 1.1), (1.3, 1.4, 1.6), (0.9, 1.1, 1.4)


def judged(*pairs: PairJudgement) -> FamilyJudgement:
    names = dict.fromkeys(name for one in pairs for name in (one.faster, one.slower))
    by_figure = {figure.name: tuple(one for one in pairs if one.figure == figure.name) for figure in FIGURES}
    return FamilyJudgement("at-most-once", tuple(names), 1.25, by_figure)


def test_equivalents_are_listed_with_the_figures_they_are_equivalent_in() -> None:
    found = judged(pair("p50", "a", "b", EQUAL), pair("broker", "a", "b", EQUAL))
    assert unbeaten(found) == "a and b are equivalent within 1.25x at p50 and the broker hop"
    assert (beaten(found), not_settled(found)) == ([], "")


def test_the_beaten_are_named_with_their_largest_difference_and_the_winner_if_unclear() -> None:
    alone = judged(pair("p50", "a", "b", APART), pair("broker", "a", "b", (2.0, 2.5, 3.0)))
    assert unbeaten(alone) == "a is the fastest"
    assert beaten(alone) == ["b is 2.5x slower [2.0, 3.0] in the broker hop"]
    several = judged(pair("p99", "a", "b", EQUAL), pair("p99", "a", "c", APART), pair("p99", "b", "c", APART))
    assert beaten(several) == ["c is 1.40x slower [1.30, 1.60] at p99 than a"]


def test_a_trade_off_is_reported_in_both_directions() -> None:
    found = judged(pair("p50", "a", "b", APART), pair("broker", "b", "a", APART))
    assert unbeaten(found) == (
        "each of a and b is faster in a different figure (b is 1.40x slower [1.30, 1.60] than a at p50 and "
        "a is 1.40x slower [1.30, 1.60] than b in the broker hop)"
    )


def test_unsettled_pairs_are_named_with_rounds_and_minutes() -> None:
    found = judged(pair("p50", "a", "b", EQUAL), pair("p99", "a", "b", OPEN, more=12))
    assert unbeaten(found) == "it is not settled which of a and b is faster, or whether they are equivalent"
    assert not_settled(found) == (
        "Not settled: at p99 a and b (1.10x [0.90, 1.40]); about 12 more rounds (3 minutes): `--rounds 32`."
    )
    many = judged(*(pair("p99", "a", name, OPEN, more=600) for name in "bcde"))
    assert not_settled(many, named=True).startswith(f"Not settled among {many.delivery}: at p99 4 pairs; ")
    assert not_settled(many) == (
        "Not settled: at p99 4 pairs; more than 500 further rounds would be needed: the difference is close to the margin."
    )


@pytest.mark.parametrize(("between", "said"), [
    (EQUAL, "a, b and c are equivalent within 1.25x"),
    (OPEN, "a and b are equivalent within 1.25x; c is equivalent to a only"),
])  # fmt: skip
def test_those_that_are_called_equivalent_are_so_pair_by_pair(between: tuple[float, float, float], said: str) -> None:
    found = judged(pair("broker", "a", "b", EQUAL), pair("broker", "a", "c", EQUAL), pair("broker", "b", "c", between))
    assert of_figure(found, BROKER) == said
    assert of_figure(found, P50) == ""


def test_one_figure_alone_says_who_differs_and_what_is_open() -> None:
    found = judged(pair("p99", "a", "b", APART), pair("p99", "a", "c", OPEN), pair("p99", "c", "b", APART))
    assert of_figure(found, P99) == "compared with a, b is 1.40x slower [1.30, 1.60]; not settled between a and c"


def test_a_look_too_early_for_a_judgement_shows_no_interval() -> None:
    early = Interval(1.1, 0.0, math.inf)
    found = judged(PairJudgement("p99", "a", "b", early, 6, 1.25, 18, 4.5))
    assert "at p99 a and b (1.10x so far); about 18 more rounds" in not_settled(found)
    assert _rounds_needed(Difference("a", "b", early, 6), 1.25, Looks((8, 24), settled=True)) == 18
