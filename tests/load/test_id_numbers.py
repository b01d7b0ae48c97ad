"""Ids get numbers in the order of their first arrival, and only a limited number is remembered."""

import random

from load.id_numbers import IdNumbers


def test_the_first_arrival_gives_the_number_and_every_place_counts_by_itself():
    numbers = IdNumbers()
    assert [numbers.number("a", id) for id in ("x", "y", "x", "z")] == [0, 1, 0, 2]
    assert [numbers.number("b", id) for id in ("z", "x")] == [0, 1]
    assert numbers.forgotten == 0


def test_ids_of_any_length_are_told_apart():
    numbers = IdNumbers()
    ids = ["x" * length + end for length in (1, 63, 64, 65, 60_000) for end in ("", "a", "b")]
    assert [numbers.number("", id) for id in ids] == list(range(len(ids)))
    assert [numbers.number("", id) for id in ids] == list(range(len(ids)))


def test_the_newest_are_remembered_and_the_forgotten_are_counted():
    numbers = IdNumbers(remembered=10)
    for number in range(1_000):
        assert numbers.number("", f"id {number}") == number
        lag = random.Random(number).randrange(10)
        assert numbers.number("", f"id {max(0, number - lag)}") == max(0, number - lag)
    assert 1_000 - 2 * 10 <= numbers.forgotten <= 1_000 - 10
    assert numbers.number("", "id 3") == 1_000  # by now it counts as another event
