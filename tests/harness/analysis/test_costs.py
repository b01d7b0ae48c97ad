"""A broker's cost is its measured CPU, memory and commands at the prices in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from harness.analysis.costs import Prices, cost_of, read_prices
from harness.analysis.standings import standings
from harness.results.run_record import Usage
from tests.harness import made_up

EXAMPLE = Path(__file__).parents[3] / "examples" / "prices.toml"
USAGE = {"broker": Usage(0.5, 512.0, 0.1), "server": Usage(4.0, 90.0, 0.4)}
"""0.5 CPU seconds of 5, so 0.1 core; half a GB. 100 events to 50 clients in 5 s are 1,000 deliveries/s."""


def standing_of(**fields: object):
    (found,) = standings(made_up.comparison([made_up.run("valkey", r, **({"usage": USAGE} | fields)) for r in (1, 2)]))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("prices", "an_hour"),
    [
        (Prices(core_hour=0.04), 0.1 * 0.04),
        (Prices(gb_hour=0.01), 0.5 * 0.01),
        (
            Prices(million_commands=1.0),
            20 * (1 + 2) * 3600 / 1e6,
        ),  # 20 events/s, each published and delivered to two replicas
    ],
)
def test_each_price_counts_what_was_measured(prices: Prices, an_hour: float) -> None:
    cost = cost_of(standing_of(), prices)
    assert cost is not None
    assert cost.per_month == pytest.approx(an_hour * 730)
    assert cost.per_million == pytest.approx(an_hour * 1e6 / (1000 * 3600))
    assert cost.scaled == 1


def test_at_a_larger_load_cpu_and_commands_grow_and_memory_does_not() -> None:
    prices = Prices(core_hour=0.04, gb_hour=0.01)
    cost = cost_of(standing_of(), prices, needed_deliveries_hz=3000)
    assert cost is not None
    assert cost.scaled == pytest.approx(3)
    assert cost.per_month == pytest.approx((3 * 0.1 * 0.04 + 0.5 * 0.01) * 730)


def test_without_our_own_broker_there_is_no_cost() -> None:
    assert cost_of(standing_of(usage={}), Prices(core_hour=1)) is None


def test_the_example_is_read_and_invalid_prices_are_refused(tmp_path: Path) -> None:
    assert read_prices(EXAMPLE).core_hour == 0.035
    for text, said in (
        ("core_hours = 1", "unknown price 'core_hours'; did you mean 'core_hour'?"),
        ("core_hour = -1", "core_hour = -1: Input should be greater than or equal to 0"),
        ("core_hour =", "is not TOML"),
    ):
        (tmp_path / "prices.toml").write_text(text)
        with pytest.raises(UsageError) as caught:
            read_prices(tmp_path / "prices.toml")
        assert said in str(caught.value)
    with pytest.raises(UsageError, match="No such file"):
        read_prices(tmp_path / "none.toml")
