"""Figures, ratios and bars."""

import json

import pytest

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable


def test_a_ratio_is_taken_round_by_round() -> None:
    # Both were twice as slow in the second round because of the machine.
    ratio = Figure.of([6, 12, 6]).over(Figure.of([5, 10, 6]))
    assert ratio.rounds == (1.2, 1.2, 1.0)
    assert ratio.median == 1.2


def test_a_ratio_of_different_numbers_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Figure.of([1, 2]).over(Figure.of([1]))


@pytest.mark.parametrize(
    ("rounds", "limit", "at_least", "met"),
    [
        ([1.2, 1.3, 9.0], 1.3, False, True),  # the median counts, the range shows the outlier
        ([1.2, 1.4, 1.4], 1.3, False, False),
        ([2_900, 3_100, 3_200], 3_000, True, True),
        ([2_900, 2_950, 9_000], 3_000, True, False),
    ],
)
def test_a_bar_is_compared_with_the_median(rounds: list[float], limit: float, at_least: bool, met: bool) -> None:
    bar = Bar("cost", Figure.of(rounds), limit, at_least)
    assert bar.verdict == ("met" if met else "NOT MET")
    assert bar.text().startswith("met" if met else "NOT MET")


def test_a_bar_without_a_figure_is_not_judged_and_says_what_would_help() -> None:
    bar = Bar("cost over nchan's", None, 0.8, obstacle="not installed; run `make brokers`")
    assert bar.verdict == "not judged"
    assert bar.text().startswith("not judged  cost over nchan's: not installed; run `make brokers`")
    assert bar.to_json()["obstacle"] == "not installed; run `make brokers`"


def test_a_figure_shows_median_and_range() -> None:
    assert Figure.of([1.5, 1.25, 3.0]).text() == "1.50 (1.25-3.00)"
    assert Figure.of([2.0]).text() == "2.00"


def test_a_table_survives_json() -> None:
    figure = Figure.of([1.0, 2.0, 4.0])
    table = FigureTable("t", "title", [FigureRow("mine", {"us": figure}, "what")], [Bar("b", figure, 3)], ["left out"])
    found = json.loads(json.dumps(table.to_json()))
    assert found["rows"][0]["figures"]["us"] == {"median": 2.0, "low": 1.0, "high": 4.0, "rounds": [1.0, 2.0, 4.0]}
    assert found["bars"][0]["verdict"] == "met"
    assert found["notes"] == ["left out"]


def test_a_bar_below_one_shows_the_decimals_that_decide():
    bar = Bar("finds", Figure.of([0.53]), 0.9, at_least=True, unit="of comparisons")
    assert bar.text().endswith("finds: 0.53 of comparisons; wanted: at least 0.9 of comparisons")
    assert "3,110 a second" in Bar("accepts", Figure.of([3110.4]), 3000, at_least=True, unit="a second").text()
