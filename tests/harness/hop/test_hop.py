"""`fanbench hop`: the cost of a message without SSE, and the report."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from brokers.contenders import all_contenders
from brokers.registry import open_endpoint
from core.contracts.hop import HopFigures, HopPlan, LoopFigures
from core.errors import FanbenchError, UsageError
from core.scenario import Scenario
from harness.commands import hop
from harness.commands.hop import hop_command, require_its_options
from harness.hop.bare_clients import side
from harness.hop.measure import BareLoop, ContenderHop, problems, what_binds
from harness.hop.paced_worker import Arrivals, measure_hop, message
from harness.runner.deployment import Deployment
from tests.harness.command import fanbench


@pytest.mark.parametrize(
    ("library_us", "broker_us", "said"),
    [
        (50.0, 20.0, "client library, at about 20,000 messages/s a core"),
        (50.0, 100.0, "broker, at about 10,000 messages/s a core"),
        (50.0, None, "not measured"),
        (None, None, "not measured"),
    ],
)
def test_the_more_expensive_one_is_the_limit(library_us: float | None, broker_us: float | None, said: str) -> None:
    assert what_binds(library_us, broker_us).startswith(said)


@pytest.mark.parametrize(
    ("topics", "processes", "words"),
    [
        ("3", None, "hop --topics 3: without --replicas-at, one process publishes and receives on one topic"),
        (None, 2, "hop --generator-processes 2: without --replicas-at"),
    ],
)
def test_without_replicas_elsewhere_there_is_no_generator_to_choose(
    topics: str | None, processes: int | None, words: str
) -> None:
    require_its_options(None, None, None)
    with pytest.raises(UsageError, match=words):
        require_its_options(None, topics, processes)


def test_a_run_name_needs_generators_that_join() -> None:
    named = Deployment(("http://a",), ("http://a",), 1, "127.0.0.1", 5557, run_name="mine")
    with pytest.raises(UsageError, match=r"hop --run-name mine: hop has no load workers.* give --generators-expected"):
        require_its_options(named, "3", 2)
    require_its_options(replace(named, generators=2), "3", None)


OFFERED_HZ = 1000.0


def figures(**changed: float | None) -> HopFigures:
    usual = {"messages": 4000, "published": 4500, "lost": 0, "achieved_hz": 999.0, "client_us": 245.0}
    return HopFigures.model_validate(usual | {"p50_us": 11.0, "p99_us": 2222.0} | changed)


def hop_of(contender: str, bare: BareLoop | None = None) -> ContenderHop:
    return ContenderHop(contender, "at-least-once", OFFERED_HZ, figures(), 20.0, bare)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (figures(), []),
        (figures(achieved_hz=989.0), ["achieved 989 of 1,000 messages/s offered (limit 99%)"]),
        (figures(lost=3), ["lost 3 of 4,000 messages"]),
        (figures(lost=4000, p50_us=None, p99_us=None), ["none of 4,000 messages came: check that the receiver"]),
    ],
)
def test_a_missed_rate_and_losses_are_reported(found: HopFigures, said: list[str]) -> None:
    told = problems(found, OFFERED_HZ)
    assert len(told) == len(said)
    assert all(problem.startswith(words) for problem, words in zip(told, said, strict=True))


def test_a_duplicate_does_not_replace_another_message() -> None:
    arrivals = Arrivals(3)
    assert not arrivals.add(message(0, 0, 200), 5)  # warm-up
    assert not arrivals.add(message(0, 100, 200), 150)
    assert not arrivals.add(message(2, 200, 200), 260)
    assert not arrivals.add(message(2, 200, 200), 290)
    assert arrivals.lost == 1
    assert list(arrivals.latencies_ns) == [50, 60]
    assert arrivals.add(message(1, 300, 200), 310)
    assert arrivals.lost == 0


def hop_plan(url: str, rate_hz: float, duration_s: float, warmup_s: float = 0.5) -> HopPlan:
    return HopPlan(
        url=url, delivery="at-most-once", rate_hz=rate_hz, duration_s=duration_s, warmup_s=warmup_s, payload_bytes=200
    )


async def test_a_hop_counts_and_times_each_message() -> None:
    found = await measure_hop(hop_plan("memory://hop-test", rate_hz=500, duration_s=0.4))
    assert (found.messages, found.published, found.lost) == (200, 450, 0)
    assert 0 < found.achieved_hz < 505  # a timer may fire a little early
    assert 0 < found.p50_us <= found.p99_us
    assert found.client_us > 0


async def test_an_impossible_rate_is_reported_as_not_achieved() -> None:
    plan = hop_plan("memory://beyond", rate_hz=1e6, duration_s=0.02, warmup_s=0)
    found = await measure_hop(plan)
    assert any("achieved" in problem for problem in problems(found, plan.rate_hz))


def test_every_contender_with_a_program_has_a_bare_library() -> None:
    for contender in all_contenders():
        if contender.program:
            adapter, _ = open_endpoint(contender.url.format_map(_Anywhere()), contender.delivery)
            assert side(adapter.name, contender.delivery, contender.url, lambda: None)


class _Anywhere(dict):
    def __missing__(self, listener: str) -> str:
        return "127.0.0.1:1"


def test_a_contender_without_a_broker_has_no_hop() -> None:
    with pytest.raises(UsageError, match="memory has no broker and therefore no hop"):
        hop_command(["memory"], Scenario(), json_answer=False)


def test_a_contender_that_fails_leaves_the_others_their_figures(monkeypatch, capsys) -> None:
    def measured(contender, scenario, folder):
        if contender.name == "nats":
            raise FanbenchError("nats: no word")
        return hop_of(contender.name)

    monkeypatch.setattr(hop, "measure_contender", measured)
    assert hop_command(["nats", "valkey"], Scenario(), json_answer=True) == 1
    printed = capsys.readouterr()
    assert [found["contender"] for found in json.loads(printed.out)] == ["valkey"]
    assert "nats: no word" in printed.err


def test_the_table_fits_a_terminal_and_each_figure_is_below_its_heading() -> None:
    bare = BareLoop(LoopFigures(client_us=150.0, messages_hz=5000.0, published=1500), 20.0)
    console = Console(width=80, file=StringIO())
    console.print(hop._table([hop_of("rabbitmq-confirms", bare), hop_of("rabbitmq-confirms")]))
    headings, measured, unmeasured = console.file.getvalue().splitlines()
    assert headings.split() == [
        "contender",
        "achieved",
        "p50",
        "us",
        "p99",
        "us",
        "lost",
        "adapter",
        "bare",
        "broker",
        "bare/s",
    ]
    assert measured.split() == ["rabbitmq-confirms", "999", "11", "2,222", "0", "245", "150", "20", "5,000"]
    assert unmeasured.split()[-3:] == ["–"] * 3


@pytest.mark.usefixtures("integration")
def test_the_hop_of_a_real_broker_and_its_bare_library() -> None:
    done = fanbench("hop", "valkey", "--rate", 200, "--duration", 1, "--json")
    (row,) = json.loads(done.stdout)
    assert (row["contender"], row["messages"], row["offered_hz"]) == ("valkey", 200, 200)
    assert done.returncode == (1 if row["problems"] else 0), done.stderr
    assert row["client_us"] > row["bare"]["client_us"] / 3 > 0  # at 200/s each message pays a wake-up; it is never free
    assert row["bare"]["broker_us"] > 0
    assert row["bare"]["messages_hz"] > 200
    assert row["bound"] == what_binds(row["bare"]["client_us"], row["bare"]["broker_us"])
