"""A run with several generator processes counts every event once."""

import re

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.errors import UsageError
from core.scenario import Scenario
from harness.commands.options import scenario_from
from harness.runner.processes import generator_settings
from harness.runner.run import run_once


@pytest.mark.usefixtures("integration")
def test_a_run_with_two_generator_processes_counts_every_event_once(tmp_path):
    scenario = Scenario(
        clients=20, topics="room-{0..4}", rate_hz=50, warmup_s=0.5, duration_s=2, drain_s=30, generator_processes=2
    )
    run = run_once(find_contender("valkey"), scenario, 1, tmp_path, lambda _: None)
    report = read(GeneratorReport, tmp_path / "generator.report.json")
    assert report.measured() == {f"room-{n}": 20 for n in range(5)}
    assert (run.published, run.expected) == (100, 400)
    assert (run.delivered, run.lost, run.duplicated, run.reordered) == (400, 0, 0, 0)
    assert not any("add up" in problem or "ledger" in problem for problem in run.problems)


def test_every_start_of_a_generator_passes_its_processes():
    assert generator_settings(Scenario(topics="room-{0..1}", generator_processes=2))["processes"] == 2


def test_more_processes_than_topics_are_refused():
    words = "generator_processes = 2: there are 1 topics, and one process publishes all events of a topic"
    with pytest.raises(UsageError, match=re.escape(words)):
        scenario_from("broadcast", generator_processes=2)
    assert scenario_from("broadcast", topics="2", generator_processes=2).generator_processes == 2
    assert scenario_from("tokens", generator_processes=3).generator_processes == 3
