"""Objectives are parsed as people write them, and report what breaks them."""

from __future__ import annotations

import pytest

from core.errors import UsageError
from harness.analysis.slo import Slo
from tests.harness import made_up

RUN = made_up.run(
    histograms={"latency": made_up.histogram([10.0] * 98 + [90.0, 120.0]), "broker": made_up.histogram([2.0] * 100)},
    expected=100_000,
    lost={"broker": 50},
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("p99<100ms, lost=0", "p99<100ms, lost=0"),
        ("p99_ms < 0.1s", "p99<100ms"),
        (" broker_p99<=500us ,duplicated<0.5% ", "broker_p99<=0.5ms, duplicated<0.5%"),
        ("lost<3", "lost<3"),
    ],
)
def test_objectives_are_read(text: str, read: str) -> None:
    assert str(Slo.parse(text)) == read
    assert Slo.parse(read) == Slo.parse(text)


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("p99<100ms", ""),
        ("p99<90ms", "p99 90.0 ms (p99<90ms wanted)"),
        ("max<100ms, broker_p99<1ms", "max 120.1 ms (max<100ms wanted); broker_p99 2.0 ms (broker_p99<1ms wanted)"),
        ("lost=0", "lost 50 (lost=0 wanted)"),
        ("lost<0.1%", ""),
        ("lost<=0.01%", "lost 0.05% (lost<=0.01% wanted)"),
        ("fanout_p50<1ms", "fanout_p50 was not measured (fanout_p50<1ms wanted)"),
    ],
)
def test_a_run_injects_its_own_faults(text: str, broken: str) -> None:
    assert Slo.parse(text).broken_by(RUN) == broken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no condition"),
        ("p99", "cannot be read"),
        ("p99>5ms", "cannot be read"),
        ("p98<5ms", "unknown figure 'p98'; did you mean 'p9"),
        ("p99<5", "needs < and a unit"),
        ("p99=5ms", "needs < and a unit"),
        ("lost<5ms", "is a count"),
        ("p99<100ms, losst=0", "did you mean 'lost'"),
    ],
)
def test_what_cannot_be_read_is_reported(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Slo.parse(text)
    assert said in str(caught.value)
