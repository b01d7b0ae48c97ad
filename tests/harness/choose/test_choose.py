"""The choice cites measurements, and every cited figure is in the summary.csv that it names."""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UsageError
from core.scenario import Scenario
from harness.analysis.stored_results import Result, load_all
from harness.choose.choose import Answer, choose
from harness.choose.have import unknown_programs
from harness.choose.needs import Needs, parse_needs
from harness.choose.wording import as_json, in_words
from harness.commands.choose import newest_results
from harness.results.run_record import Run
from harness.results.store import open_results
from harness.runner.host import describe_host
from tests.harness import made_up
from tests.harness.forked_command import forked_fanbench

FIVE = range(1, 6)
REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
LEAST = "at-least-once"
AT_LOAD = {"clients": 50, "replicas": 2, "rate_hz": 20.0}
HEAVIER = made_up.SCENARIO.with_fields(clients=200)


def stored(parent: Path, name: str, runs: list[Run], scenario: Scenario = made_up.SCENARIO) -> Path:
    folder = open_results(parent, name, scenario=scenario, command="fanbench compare", host={}, versions={})
    for run in runs:
        folder.add_run(run)
    return folder.finish(complete=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """valkey, redis and nats are equal, rabbitmq is slower; two have a stronger promise.

    And the effects of faults on these.
    """
    parent = tmp_path_factory.mktemp("results")
    equal = [made_up.run(name, r) for r in FIVE for name in ("valkey", "redis", "nats")]
    slow = [made_up.run("rabbitmq", r, broker_ms=4, fanout_ms=10) for r in FIVE]
    more = [
        made_up.run(name, r, delivery=LEAST, broker_ms=b)
        for r in FIVE
        for name, b in (("redis-streams", 1), ("mosquitto-qos1", 1))
    ]
    stored(parent, "broadcast", [*equal, *slow, *more, *(made_up.run("memory", r, broker_ms=0.01) for r in FIVE)])
    faults = [
        made_up.fault_run("redis-streams", "broker-kill", delivery=LEAST),
        made_up.fault_run("mosquitto-qos1", "broker-kill", delivery=LEAST, lost={"gap": 7}),
    ]
    stored(parent, "faults", faults)
    return parent


@functools.cache
def loaded(results: Path) -> Sequence[Result]:
    """The stored results, read once because that takes a CPU second."""
    return load_all([results])


def answer(results: Path, **needs: object) -> Answer:
    return choose(Needs.model_validate(needs), loaded(results))


def gaps(found: Answer) -> str:
    return "; ".join(gap.what for gap in found.not_measured)


def left(found: Answer) -> dict[str, list[list[str]]]:
    return {delivery: [[j.contender for j in group] for group in groups] for delivery, groups in found.left.items()}


def reasons(found: Answer) -> dict[str, str]:
    return {judged.contender: "; ".join(judged.reasons) for judged in found.ruled_out}


@pytest.mark.slow
def test_equals_are_equal_and_running_programs_go_first(results: Path) -> None:
    found = answer(results, **AT_LOAD, have=("redis",))
    groups = left(found)["at-most-once"]
    assert groups[0][0] == "redis"
    assert sorted(groups[0]) == ["nats", "redis", "valkey"]
    assert groups[1:] == [["rabbitmq"]]
    assert "you already run redis" in in_words(found, Needs(have=("redis",)))
    assert any(said.endswith("; the others are slower, at 98% certainty") for said in found.sure)


def test_promises_stay_apart_and_the_floor_is_no_choice(results: Path) -> None:
    found = left(answer(results, **AT_LOAD))
    assert sorted(name for group in found[LEAST] for name in group) == ["mosquitto-qos1", "redis-streams"]
    assert "memory" not in str(found)


def test_a_promise_rules_out_by_what_is_declared_and_by_what_a_fault_showed(results: Path) -> None:
    found = answer(results, **AT_LOAD, promise=LEAST)
    assert left(found) == {LEAST: [["redis-streams"]]}
    assert reasons(found)["valkey"] == "it promises at-most-once only (delivery in summary.csv)"
    assert re.fullmatch(r"lost 7 of 5000 in broker-kill \(run 2 of \S+-faults\)", reasons(found)["mosquitto-qos1"])


def test_replay_is_declared_by_the_adapter(results: Path) -> None:
    found = answer(results, replay=True)
    assert left(found) == {LEAST: [["redis-streams"]]}
    assert "cannot replay" in reasons(found)["mosquitto-qos1"]


def test_an_objective_rules_out_what_breaks_it(results: Path) -> None:
    found = answer(results, **AT_LOAD, slo="p99<25ms, lost=0")
    assert re.search(
        r"breaks p99<25ms on 50 clients on 2 replicas at 20 events/s in all 5 rounds: p99_ms [\d.]+ \(run \d+ of \S+-broadcast\)",
        reasons(found)["rabbitmq"],
    )
    assert "valkey" in str(left(found))
    assert "whether" not in gaps(found)


def test_a_lighter_load_that_breaks_rules_out_and_one_that_holds_proves_nothing(results: Path) -> None:
    found = answer(results, clients=5000, replicas=2, rate_hz=20, slo="p99<25ms")
    assert "rabbitmq" in reasons(found)
    assert "the needed load (the nearest is 50 clients on 2 replicas" in gaps(found)
    assert re.search("whether .* hold p99<25ms there", gaps(found))
    assert found.warnings == [
        "50 measured clients stand for 5,000, 100 times as many: results at 50 clients on 2 replicas at 20 events/s may not apply there"
    ]


def test_a_heavier_load_that_holds_settles_it(results: Path, tmp_path: Path) -> None:
    heavy = [made_up.run(name, r, scenario=HEAVIER) for r in FIVE for name in ("valkey", "nats")]
    folder = stored(tmp_path, "heavy", heavy, HEAVIER)
    found = choose(Needs(clients=100, replicas=2, rate_hz=20, slo="p99<40ms"), load_all([folder]))
    assert "whether" not in gaps(found)
    broken = choose(Needs(clients=100, replicas=2, rate_hz=20, slo="p99<5ms"), load_all([folder]))
    assert broken.ruled_out == []  # it fails at a heavier load, which says nothing about this one
    assert "whether valkey and nats hold p99<5ms there" in gaps(broken) or "whether nats and valkey" in gaps(broken)


def test_memory_is_that_of_the_largest_run(results: Path) -> None:
    assert re.match(r"broker_rss_mb 9\.5 \(run \d+ of", reasons(answer(results, memory_mb=9))["valkey"])
    assert answer(results, memory_mb=10).ruled_out == []


def test_with_too_few_rounds_it_is_not_certain(tmp_path: Path) -> None:
    folder = stored(tmp_path, "few", [made_up.run(name, 1, fanout_ms=f) for name, f in (("valkey", 6), ("nats", 60))])
    (said,) = choose(Needs(), load_all([folder])).sure
    assert "not certain, because there are fewer than 5 rounds" in said


def test_a_refused_contender_is_not_measured_and_not_ruled_out(tmp_path: Path) -> None:
    runs = [made_up.run("valkey", r) for r in FIVE] + [made_up.run("nats", r, problems=("late",)) for r in FIVE]
    found = choose(Needs(), load_all([stored(tmp_path, "some", runs)]))
    assert found.ruled_out == []
    assert left(found) == {"at-most-once": [["valkey"]]}
    assert "nats" in gaps(found)


def test_the_command_would_measure_what_is_left_on_the_needed_load(results: Path) -> None:
    found = answer(results, clients=5000, replicas=4, rate_hz=10, promise=LEAST)
    absent = "nats-jetstream postgres-outbox rabbitmq-confirms rabbitmq-stream redis-streams valkey-streams"
    held = "--slo 'p99<100ms, lost=0' --replicas 4 --rate 10 --payload-bytes 200 --topics 1"
    assert [command.command for command in found.commands] == [
        f"fanbench capacity redis-streams --vary clients {held}",
        f"fanbench compare {absent} --clients 5000 --replicas 4 --rate 10 --payload-bytes 200 --topics 1",
    ]


def test_nothing_left_says_so(results: Path) -> None:
    found = answer(results, memory_mb=1)
    assert found.left == {}
    assert "Nothing is left." in in_words(found, Needs(memory_mb=1))
    assert re.search(
        r"Take none yet: each that was measured is ruled out\. If you can accept this: broker_rss_mb .*, take [\w-]+\. "
        r"Next, because it was not measured: `fanbench compare ",
        in_words(found, Needs(memory_mb=1)),
    )


@pytest.mark.parametrize(
    "needs",
    [
        AT_LOAD | {"slo": "p99<25ms, lost=0", "have": ("redis",)},
        AT_LOAD | {"promise": LEAST},
        {"memory_mb": 9},
        {"clients": 900, "replicas": 3, "rate_hz": 7.0, "slo": "p99<22ms"},
    ],
)
def test_every_cited_figure_is_in_its_summary(results: Path, needs: dict[str, object]) -> None:
    assert figures_found(results, answer(results, **needs)) >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "needs", [{}, {"replay": True}, {"clients": 2000, "slo": "p99<20ms, lost=0"}, {"memory_mb": 30}]
)
def test_the_references_runs_do_too(needs: dict[str, object]) -> None:
    assert figures_found(REFERENCE, answer(REFERENCE, **needs)) >= 2


def figures_found(results: Path, found: Answer) -> int:
    """The number of figures that an answer cites; each must be in the named column, run and directory."""
    tables = {}
    for file in results.glob("*/summary.csv"):
        with file.open(newline="") as lines:
            tables[file.parent.name] = {row["run"]: row for row in csv.DictReader(lines)}
    said = [r for j in found.ruled_out for r in j.reasons]
    said += [r for groups in found.left.values() for group in groups for j in group for r in j.reasons]
    cited = 0
    for sentence in said:
        for column, figure, run, folder in re.findall(
            r"([a-z0-9_]+_(?:ms|mb)) ([\d.]+) \(run (\d+) of ([^\s)]+)\)", sentence
        ):
            assert tables[folder][run][column] == figure
            cited += 1
        for column, folder, least, most in re.findall(
            r"([a-z0-9_]+_ms) [\d.]+ \(run \d+ of ([^\s)]+)\), ([\d.]+) to ([\d.]+) over", sentence
        ):
            assert {least, most} <= {row[column] for row in tables[folder].values()}
        for lost, expected, run, folder in re.findall(
            r"lost (\d+) of (\d+) in \S+ \(run (\d+) of ([^\s)]+)\)", sentence
        ):
            assert (tables[folder][run]["lost"], tables[folder][run]["expected"]) == (lost, expected)
            cited += 1
    return cited


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"clients": 0}, "clients = 0: Input should be greater than or equal to 1"),
        ({"promise": "always"}, "promise = 'always'"),
        ({"slo": "p98<5ms"}, "unknown figure 'p98'"),
        ({"memory": 5}, "unknown need 'memory'; did you mean 'memory_mb'?"),
    ],
)
def test_unreadable_needs_are_reported(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_needs(None, given)
    assert said in str(caught.value)


def test_options_go_before_the_file(tmp_path: Path) -> None:
    model = Path(__file__).parents[3] / "docs" / "needs.toml"
    assert parse_needs(model, {"clients": 7, "slo": ""}).model_dump() == {
        "clients": 7,
        "replicas": 2,
        "rate_hz": 20.0,
        "payload_bytes": 200,
        "topics": 1,
        "schedule": "constant",
        "promise": LEAST,
        "replay": True,
        "slo": "p99<150ms, lost=0",
        "have": ("redis",),
        "memory_mb": 500.0,
        "nodes": 3,
        "max_silence": "5s",
        "deploys_daily": 3.0,
    }
    (tmp_path / "bad.toml").write_text("clients =")
    with pytest.raises(UsageError, match="is not TOML"):
        parse_needs(tmp_path / "bad.toml", {})
    with pytest.raises(UsageError, match="No such file"):
        parse_needs(tmp_path / "none.toml", {})


@pytest.mark.usefixtures("integration")
def test_the_command_line_answers_as_text_and_json(results: Path) -> None:
    needs = Needs.model_validate(AT_LOAD | {"promise": LEAST})
    words = ("choose", results, "--clients", 50, "--replicas", 2, "--rate", 20, "--promise", LEAST)
    here = describe_host()
    done = forked_fanbench(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == in_words(choose(needs, loaded(results)), needs, here) + "\n"
    as_data = json.loads(forked_fanbench(*words, "--json").stdout)
    assert as_data == json.loads(json.dumps(as_json(choose(needs, loaded(results)), needs, here)))
    assert forked_fanbench("choose", results, "--memory-mb", 1).returncode == 1
    wrong = forked_fanbench("choose", results / "none")
    assert wrong.returncode == 2
    assert "is not a result directory" in wrong.stderr


def rounds_at(scenario: Scenario, **figures: float) -> list[Run]:
    return [replace(made_up.run(name, r, **figures), scenario=scenario) for r in FIVE for name in ("valkey", "nats")]


def test_a_load_of_another_shape_is_no_evidence(tmp_path: Path) -> None:
    rooms = made_up.SCENARIO.with_fields(name="rooms", topics="room-{0..9}", schedule="poisson")
    stored(tmp_path, "slow", rounds_at(made_up.SCENARIO, broker_ms=4, fanout_ms=10))
    stored(tmp_path, "rooms", rounds_at(rooms), rooms)
    found = answer(tmp_path, **AT_LOAD, slo="p99<25ms")
    assert set(reasons(found)) == {"valkey", "nats"}, "held in rooms, which was not requested"
    assert any(command.command.endswith("--topics 1") for command in found.commands)
    of_rooms = answer(tmp_path, **AT_LOAD, slo="p99<25ms", topics=10, schedule="poisson")
    assert not of_rooms.ruled_out
    (command, *_) = of_rooms.commands
    assert "--scenario rooms" in command.command
    assert command.command.endswith("--topics 10")


def test_the_needed_load_weighs_more_than_a_heavier_one(tmp_path: Path) -> None:
    stored(tmp_path, "needed", rounds_at(made_up.SCENARIO, broker_ms=4, fanout_ms=10))
    stored(tmp_path, "heavier", rounds_at(HEAVIER), HEAVIER)
    assert set(reasons(answer(tmp_path, **AT_LOAD, slo="p99<25ms"))) == {"valkey", "nats"}


def test_websocket_results_are_not_evidence_for_sse(tmp_path: Path) -> None:
    runs = [replace(run, transport="ws") for run in rounds_at(made_up.SCENARIO)]
    stored(tmp_path, "ws", runs)
    with pytest.raises(UsageError, match="no comparison with a valid run"):
        answer(tmp_path, **AT_LOAD)


def test_memory_that_no_run_shows_is_a_doubt(tmp_path: Path) -> None:
    stored(tmp_path, "a", [replace(run, usage={}) for run in rounds_at(made_up.SCENARIO)])
    assert "memory was not measured" in str(answer(tmp_path, **AT_LOAD, memory_mb=100).left)


def test_losses_in_faults_count_if_nothing_may_be_lost(results: Path) -> None:
    found = answer(results, **AT_LOAD, slo="lost=0")
    assert re.fullmatch(r"lost 7 of 5000 in broker-kill \(run 2 of \S+-faults\)", reasons(found)["mosquitto-qos1"])
    assert "mosquitto-qos1" in str(left(answer(results, **AT_LOAD)))


def test_a_program_that_fanbench_has_no_adapter_for_is_answered(results: Path) -> None:
    needs = Needs(have=("kafka", "rediss", "redis"))
    kafka, rediss = unknown_programs(needs.have)
    assert kafka.startswith("fanbench has no adapter for kafka: docs/adapters.md shows how to write one")
    assert "no program 'rediss': did you mean 'redis'?" in rediss
    found = choose(needs, loaded(results))
    assert kafka in found.warnings
    assert in_words(found, needs).splitlines()[-1].startswith("Take redis because you already run redis")


def test_if_nothing_may_be_lost_contenders_proven_in_faults_go_first(results: Path) -> None:
    needs = Needs.model_validate(AT_LOAD | {"slo": "lost=0"})
    last = in_words(choose(needs, loaded(results)), needs).splitlines()[-1]
    assert last.startswith("Take redis-streams because")
    assert re.search(r"it lost nothing in the one fault \(\S+-faults\)", last)


def test_it_says_whose_machine_was_measured(results: Path, tmp_path: Path) -> None:
    host = {"cpu": "2 x an example", "memory": "8 GB"}
    folder = open_results(tmp_path, "b", scenario=made_up.SCENARIO, command="x", host=host, versions={})
    for r in FIVE:
        folder.add_run(made_up.run("valkey", r))
    path = folder.finish(complete=True)
    found = choose(Needs(), load_all([path]))
    assert in_words(found, Needs(), host).startswith("Measured on this machine (2 x an example, 8 GB)")
    other = host | {"cpu": "64 x another"}
    assert in_words(found, Needs(), other).startswith("Measured on another machine (2 x an example, 8 GB)")
    mixed = choose(Needs(), load_all([path, *results.glob("*broadcast")]), None, host)
    assert mixed.base.name == path.name


def test_results_of_another_machine_are_left_out_and_counted(tmp_path: Path) -> None:
    for place, cpu in enumerate(("one", "another")):
        folder = open_results(
            tmp_path, f"b{place}", scenario=made_up.SCENARIO, command="x", host={"cpu": cpu}, versions={}
        )
        for r in FIVE:
            folder.add_run(made_up.run("valkey" if cpu == "one" else "nats", r))
        folder.finish(complete=True)
    found = choose(Needs(), load_all([tmp_path]), None, {"cpu": "one"})
    assert left(found) == {"at-most-once": [["valkey"]]}
    assert found.warnings == ["1 of the results are from another machine and were left out"]


@pytest.mark.slow
def test_without_folders_the_local_results_or_the_reference_are_read(tmp_path: Path) -> None:
    assert {result.name for result in newest_results(tmp_path)} == {
        path.name for path in REFERENCE.iterdir() if path.is_dir()
    }
    own = stored(tmp_path, "mine", [made_up.run("valkey", r) for r in FIVE])
    stored(tmp_path, "faults", [made_up.fault_run("valkey", "link-cut")])
    (tmp_path / "20990101T000000Z-x.partial").mkdir()
    (tmp_path / "20990101T000000Z-x.partial" / "manifest.json").write_text("half")
    search = stored(tmp_path / "20260101T000000Z-capacity-clients-all", "search", [made_up.run("valkey")])
    found = [result.name for result in newest_results(tmp_path)]
    assert {own.name, search.name} < set(found)
    assert len(found) == 3


def test_each_gap_is_named_once(results: Path) -> None:
    needs = Needs.model_validate({"clients": 5000, "slo": "p99<25ms, lost=0", "deploys_daily": 2})
    said = in_words(choose(needs, loaded(results)), needs)
    body, last = said.rsplit("\n", 1)
    commands = re.findall(r"`(fanbench [^`]+)`", body)
    assert len(commands) == len(set(commands)) >= 3
    assert {command.split()[1] for command in commands} == {"compare", "capacity", "faults"}
    assert f"Next, because it was not measured: `{commands[0]}`" in last
