"""The verdict states only what the figures allow."""

from __future__ import annotations

import numpy as np
import pytest

from core.histogram import Histogram
from harness.analysis.standings import families, percentile_band, standings
from harness.analysis.verdict import offered_workload, verdict
from harness.results.run_record import Run
from tests.harness import made_up

FIVE = range(1, 6)


def said(*runs: Run, **fields: object) -> str:
    return " ".join(verdict(made_up.comparison(runs, **fields)))


def test_equals_are_equivalent_within_the_margin() -> None:
    words = said(*(made_up.run(name, number) for number in range(1, 13) for name in ("valkey", "valkey#2")))
    assert words.startswith("For 50 clients on 2 replicas at 20 events/s, valkey")
    assert "are equivalent within 1.25x at p50, p90, p99 and the broker hop (98% certain)." in words
    assert "not settled" not in words.lower()
    assert "keep what you already run. `fanbench choose`" in words
    assert "Nothing was lost." in words


def test_the_slower_one_is_named_with_its_ratio_and_interval() -> None:
    three = (("valkey", 6), ("nats", 6), ("slow", 9))
    runs = [made_up.run(name, r, fanout_ms=f) for r in range(1, 13) for name, f in three]
    words = said(*runs)
    assert "are equivalent within 1.25x at p50, p90, p99 and the broker hop; slow is" in words
    judged = families(made_up.comparison(runs))[0].judgement
    assert judged.unbeaten in (("nats", "valkey"), ("valkey", "nats"))
    worst = max(judged.slower_in("slow", judged.unbeaten[0]), key=lambda one: one.ratio.estimate)
    assert worst.ratio.low < 1.5 < worst.ratio.high
    ratio = f"{worst.ratio.estimate:.2f}x slower [{worst.ratio.low:.2f}, {worst.ratio.high:.2f}]"
    assert f"slow is {ratio} at {worst.figure}" in words


def test_promises_are_ranked_separately() -> None:
    runs = [
        made_up.run(name, number, delivery=delivery, fanout_ms=fanout)
        for number in FIVE
        for name, delivery, fanout in (
            ("valkey", "at-most-once", 6),
            ("streams", "at-least-once", 60),
            ("confirms", "at-least-once", 90),
        )
    ]
    words = said(*runs)
    assert "among at-most-once, valkey has p99" in words
    assert "among at-least-once, streams is the fastest" in words
    assert "Among at-least-once, confirms is 1." in words
    assert "valkey is the fastest" not in words


def test_the_floor_is_shown_and_not_ranked() -> None:
    words = said(*(made_up.run(name, r, broker_ms=b) for r in FIVE for name, b in (("valkey", 3), ("memory", 0.01))))
    assert "valkey has p99" in words
    assert "Without a broker (memory, the floor of the harness), p99 " in words
    assert "slower" not in words


def test_the_brokers_share_is_that_of_the_means() -> None:
    def fixed(name: str, number: int, broker_ms: float) -> Run:
        hops = {"schedule": [1.0] * 100, "broker": [broker_ms] * 100, "fanout": [9.0 - broker_ms] * 100}
        made = {hop: made_up.histogram(values) for hop, values in hops.items()}
        return made_up.run(name, number, histograms=made | {"latency": made_up.histogram([10.0] * 100)})

    runs = [fixed(name, number, broker) for number in FIVE for name, broker in (("valkey", 0.5), ("rabbitmq", 2.0))]
    assert "The broker hop is 5% (valkey) to 20% (rabbitmq) of the mean latency" in said(*runs)
    assert "the fan-out to the clients is the largest part" in said(*runs)


def test_too_few_rounds_give_figures_and_no_verdict() -> None:
    words = said(*(made_up.run(name, r, fanout_ms=f) for r in (1, 2, 3) for name, f in (("valkey", 6), ("slow", 60))))
    assert "3 valid rounds are too few for a verdict (5 are needed: --rounds 5)" in words
    assert "slower" not in words
    assert "fastest" not in words


def test_losses_are_counted_over_all_runs() -> None:
    runs = [
        made_up.run(name, number, lost={"broker": 2} if name == "nats" else None)
        for number in FIVE
        for name in ("valkey", "nats")
    ]
    assert (
        "nats lost 10 of 25,000 deliveries (0.04%: 10 not delivered by the broker); the others lost nothing."
        in said(*runs)
    )


def test_a_loss_is_reported_with_its_causes_the_largest_first() -> None:
    lost = {"gap": 1, "unexplained": 3}
    runs = [made_up.run(name, number, lost=lost) for number in FIVE for name in ("valkey", "nats")]
    words = "nats lost 20 of 25,000 deliveries (0.08%: 15 missing without a gap and 5 gap reported by the adapter)"
    assert words in said(*runs)


def test_figures_of_several_hosts_carry_their_clocks_bounds() -> None:
    bounds = [{"latency_bound_ms": 0.2, "broker_bound_ms": 0.31}, {"latency_bound_ms": 0.25, "broker_bound_ms": 0.3}]
    runs = [made_up.run("valkey", number, figures=figures) for number, figures in enumerate(bounds, 1)]
    assert (
        "By the hosts' clocks, each latency is exact to 0.25 ms and the broker hop to 0.31 ms (the widest bound of any run)."
        in said(*runs)
    )
    assert "clocks" not in said(made_up.run())


def test_refused_runs_do_not_count_but_are_reported() -> None:
    runs = [made_up.run("valkey", r) for r in FIVE]
    runs += [made_up.run("nats", r, fanout_ms=1, problems=("generator late",)) for r in FIVE]
    words = said(*runs)
    assert "nats has too few valid rounds for a verdict" in words
    assert "5 of 10 runs refused and not ranked" in words
    assert "valkey has p99" in words


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "No run finished, so there is nothing to compare."),
        (
            [made_up.run(problems=("generator late",))],
            "No run is valid, so there is no verdict; the report gives the reasons.",
        ),
    ],
)
def test_nothing_measured_claims_nothing(runs: list[Run], words: str) -> None:
    assert said(*runs).startswith(words)


def test_an_interrupted_comparison_says_so() -> None:
    assert "was interrupted" in said(*(made_up.run("valkey", r) for r in FIVE), complete=False)


def test_transports_are_separate_contenders() -> None:
    runs = [made_up.run("valkey", r, transport=t, fanout_ms=f) for r in FIVE for t, f in (("sse", 6), ("ws", 9))]
    words = said(*runs)
    assert "valkey over sse is the fastest" in words
    assert "valkey over ws is 1.4" in words or "valkey over ws is 1.5" in words


def test_percentiles_of_all_rounds_are_those_of_the_merged_histogram() -> None:
    runs = [made_up.run(round=number) for number in FIVE]
    merged = Histogram()
    for run in runs:
        merged.merge(run.histograms["latency"])
    wanted = [1.0, 50.0, 99.0, 99.9, 100.0]
    band = percentile_band([run.histograms["latency"] for run in runs], wanted)
    assert [point.estimate for point in band] == merged.curve_ms(wanted)
    assert all(point.low <= point.estimate <= point.high for point in band)
    (standing,) = standings(made_up.comparison(runs))
    assert standing.percentile(99) == band[2]


def test_a_band_is_as_wide_as_the_rounds_differ() -> None:
    def spread(medians: list[float]) -> float:
        rng = np.random.default_rng(1)
        made = [made_up.histogram(median * rng.lognormal(0, 0.1, 4000)) for median in medians]
        (p50,) = percentile_band(made, [50])
        return p50.high - p50.low

    assert spread([10, 10, 10, 10, 10]) < 0.3
    assert spread([8, 9, 10, 11, 12]) > 2


def test_contenders_with_too_few_rounds_change_neither_groups_nor_ratios() -> None:
    good = [made_up.run(name, number) for name in ("valkey", "nats") for number in FIVE]
    few = [made_up.run(name, number) for name in ("a", "b", "c", "d") for number in FIVE[:4]]
    alone, beside = (families(made_up.comparison(runs))[0] for runs in (good, good + few))
    assert beside.groups == alone.groups
    assert beside.judgement == alone.judgement
    assert {standing.contender for standing in beside.unranked} == {"a", "b", "c", "d"}


def test_groups_are_those_that_are_not_different_from_their_first() -> None:
    fanouts = {"valkey": 6.0, "nats": 6.05, "rabbitmq": 12.0, "rabbitmq#2": 12.1, "slow": 40.0}
    runs = [made_up.run(name, r, fanout_ms=f) for r in range(1, 13) for name, f in fanouts.items()]
    (found,) = families(made_up.comparison(runs))
    assert [sorted(group) for group in found.groups] == [["nats", "valkey"], ["rabbitmq", "rabbitmq#2"], ["slow"]]
    behind = found.behind_leader("slow")
    assert behind is not None
    assert behind.slower == "slow"


def killed(number: int, **fields: object) -> Run:
    """A run in which a replica dies, beside those that are compared: its phases, and so its rate, are others."""
    figures = {"offered_hz": 7.0, "silence_ms": 900.0}
    return made_up.fault_run("valkey", "replica-kill", round=number, **({"figures": figures} | fields))


def test_the_load_is_that_of_the_runs_that_are_compared() -> None:
    compared = [made_up.run("valkey", number, figures={"offered_hz": 19.0}) for number in FIVE]
    broken = [killed(number) for number in range(6, 15)]
    assert offered_workload(made_up.comparison([*compared, *broken])).endswith(" at 19 events/s")
    assert offered_workload(made_up.comparison(broken)).endswith(" at 7 events/s")  # a result of faults has no others
    refused = [made_up.run("valkey", number, problems=("late",)) for number in FIVE]
    assert offered_workload(made_up.comparison([*refused, *broken])).endswith(" at 20 events/s")


def test_every_refused_run_is_counted_beside_the_number_of_all_runs() -> None:
    runs = [made_up.run("valkey", number) for number in FIVE]
    words = said(*runs, killed(6, problems=("busy",)), killed(6), made_up.run("nats", 1, problems=("late",)))
    assert "2 of 8 runs refused and not ranked" in words


def test_where_only_runs_with_a_fault_are_valid_it_does_not_say_that_none_is() -> None:
    assert said(made_up.run("valkey", problems=("late",)), killed(6)).startswith("No run without a fault is valid, so")
