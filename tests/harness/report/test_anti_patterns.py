"""An anti-pattern is ranked with its promise, marked next to its figures, and never proposed."""

from pathlib import Path

from harness.analysis.standings import families
from harness.analysis.stored_results import load_all
from harness.choose.choose import choose
from harness.choose.needs import parse_needs
from harness.report.comparison import anti_patterns_told, comparison_view
from harness.results.store import open_results
from tests.harness import made_up

FIVE = range(1, 6)
RUNS = [
    made_up.run(name, r, fanout_ms=ms)
    for r in FIVE
    for name, ms in (("valkey", 5), ("valkey-per-client", 9), ("nats", 6))
]


def test_it_is_ranked_with_its_promise_and_marked():
    comparison = made_up.comparison(RUNS)
    (family,) = families(comparison)
    assert {standing.contender for standing in family.standings} == {"valkey", "valkey-per-client", "nats"}
    (sentence,) = anti_patterns_told(comparison)
    assert sentence.startswith("valkey-per-client is an anti-pattern: a connection to the broker for each client.")
    view = comparison_view(comparison, draw=False)
    heads = {row[0].text: row[0].small for row in view.tables[0].rows}
    assert heads["valkey-per-client"].endswith("anti-pattern: a connection to the broker for each client")
    assert "anti-pattern" not in heads["valkey"]
    assert sentence in view.method


def test_it_is_never_proposed(tmp_path: Path):
    scenario = made_up.SCENARIO
    folder = open_results(tmp_path, "broadcast", scenario=scenario, command="fanbench compare", host={}, versions={})
    for run in RUNS:
        folder.add_run(run)
    answer = choose(parse_needs(None, {}), load_all([folder.finish(complete=True)]))
    named = [judged.contender for groups in answer.left.values() for group in groups for judged in group]
    assert sorted(named + [judged.contender for judged in answer.ruled_out]) == ["nats", "valkey"]
    assert not any("valkey-per-client" in command.command for command in answer.commands)


def test_an_anti_pattern_alone_in_its_promise_yields_to_the_other_promise():
    stored = [
        made_up.run(name, r, delivery="at-least-once") for r in FIVE for name in ("valkey-streams", "redis-streams")
    ]
    alone = [run for run in RUNS if run.contender == "valkey-per-client"]
    advice = comparison_view(made_up.comparison(stored + alone), draw=False).verdict[0]
    assert "Take none" not in advice
    assert "valkey-streams" in advice
    assert "Take none" in comparison_view(made_up.comparison(alone), draw=False).verdict[0]
