"""Answers at the edges: contradictory needs, programs of other names, loads beyond any result, results of other kinds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from brokers.contenders import all_contenders, cluster_contenders
from core.errors import UsageError
from core.scenario import Scenario
from harness.analysis.stored_results import Result, load_all
from harness.choose.choose import Answer, choose
from harness.choose.have import program_named, unknown_programs
from harness.choose.needs import Needs, parse_needs
from harness.choose.wording import in_words, machine
from harness.results.run_record import Run
from tests.harness import made_up
from tests.harness.choose.test_choose import FIVE, LEAST, stored
from tests.harness.choose.test_nodes import silent

NAMES = [contender.name for contender in (*all_contenders(), *cluster_contenders())]


def rounds(*names: str, scenario: Scenario = made_up.SCENARIO, **fields: object) -> list[Run]:
    return [made_up.run(name, r, scenario=scenario, **fields) for r in FIVE for name in names]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("results")
    most = rounds("valkey", "nats") + rounds("rabbitmq", broker_ms=4, fanout_ms=10)
    least = rounds("redis-streams", "nats-jetstream", delivery=LEAST)
    stored(parent, "broadcast", [*most, *least, *rounds("rabbitmq-stream", delivery=LEAST, broker_ms=4, fanout_ms=10)])
    faults = silent("nats-jetstream-r3", "leader-kill", 6, LEAST)
    faults += silent("rabbitmq-stream-r3", "leader-kill", 0.2, LEAST)
    stored(parent, "failovers", faults)
    return parent


@pytest.fixture(scope="module")
def loaded(parent: Path) -> Sequence[Result]:
    return load_all([parent])


def told(results: Sequence[Result], **needs: object) -> tuple[Answer, str]:
    wanted = Needs.model_validate(needs)
    answer = choose(wanted, results)
    return answer, in_words(answer, wanted)


EDGES: list[dict[str, object]] = [
    {},
    {"nodes": 3, "promise": LEAST, "replay": True},
    {"replay": True, "promise": "at-most-once"},
    {"clients": 10**6, "replicas": 64, "rate_hz": 1e5, "slo": "p99<1ms, lost=0"},
    {"have": ("postgres", "mosquitto"), "max_silence": "1s", "deploys_daily": 3},
    {"topics": 50, "schedule": "poisson"},
    {"memory_mb": 1},
]


@pytest.mark.parametrize("needs", EDGES, ids=str)
def test_a_command_measures_what_its_gap_names_and_each_is_named_once(
    loaded: Sequence[Result], needs: dict[str, object]
) -> None:
    answer, _ = told(loaded, **needs)
    assert len({str(gap.command) for gap in answer.not_measured}) == len(answer.not_measured)
    named: list[str] = []
    for gap in answer.not_measured:
        assert gap.command is not None
        words = gap.what.replace(",", " ").split()
        assert {name for name in NAMES if name in words} <= set(gap.command.command.split()), gap
        named += [f"{gap.command.shows} {name}" for name in NAMES if name in words]
    assert len(named) == len(set(named))


def test_nothing_that_the_needs_rule_out_is_to_be_measured(loaded: Sequence[Result]) -> None:
    answer, _ = told(loaded, nodes=3)
    text = " ".join(command.command for command in answer.commands)
    assert "postgres" not in text
    assert "mosquitto" not in text
    answer, _ = told(loaded, replay=True)
    assert "rabbitmq-confirms" not in " ".join(command.command for command in answer.commands)


def test_certainty_and_advice_are_of_the_same_contenders(loaded: Sequence[Result]) -> None:
    """redis-streams is as fast as nats-jetstream, but has no cluster: of those left, nats-jetstream is the fastest."""
    answer, said = told(loaded, nodes=3, promise=LEAST)
    assert answer.sure == ["at-least-once: nats-jetstream is faster than all others, at 98% certainty"]
    last = said.splitlines()[-1]
    assert last.startswith("Take nats-jetstream, run as nats-jetstream-r3, because it is faster than all others at 98%")
    assert re.search(r"p99_ms [\d.]+ \(run \d+ of \S+\), [\d.]+ to [\d.]+ over 5 rounds, of one process\)", last)
    assert "rabbitmq-stream, run as rabbitmq-stream-r3: silent for 0.23 s in leader-kill" in last


def test_each_death_of_a_node_is_a_gap_of_its_own(loaded: Sequence[Result], parent: Path, tmp_path: Path) -> None:
    answer, said = told(loaded, nodes=3, promise=LEAST)
    assert "its only measured fault of nodes" in said
    (gap,) = [gap for gap in answer.not_measured if "connected-node-kill" in gap.what]
    assert gap.command is not None
    assert gap.command.command == (
        "fanbench faults nats-jetstream-r3 rabbitmq-stream-r3 --fault connected-node-kill --rounds 5"
    )
    both = ("nats-jetstream-r3", "rabbitmq-stream-r3")
    later = [run for name in both for run in silent(name, "connected-node-kill", 9, LEAST)]
    answer, said = told([*loaded, *load_all([stored(tmp_path, "later", later)])], nodes=3, promise=LEAST)
    assert "silent for 9.03 s in connected-node-kill, its worst of 2 measured faults of nodes" in said
    assert "connected-node-kill" not in " ".join(gap.what for gap in answer.not_measured)


def test_the_latency_of_a_cluster_is_a_gap_until_it_was_measured(loaded: Sequence[Result], tmp_path: Path) -> None:
    answer, _ = told(loaded, nodes=3, promise=LEAST)
    (gap,) = [gap for gap in answer.not_measured if gap.what.startswith("the latency of")]
    assert gap.command is not None
    assert gap.command.command.startswith("fanbench compare nats-jetstream-r3 rabbitmq-stream-r3 --clients 50")
    runs = rounds("nats-jetstream-r3", "rabbitmq-stream-r3", delivery=LEAST)
    answer, said = told([*loaded, *load_all([stored(tmp_path, "clusters", runs)])], nodes=3, promise=LEAST)
    assert "the latency of" not in " ".join(gap.what for gap in answer.not_measured)
    assert re.search(
        r"nats-jetstream: .*as nats-jetstream-r3 silent .*, p99_ms [\d.]+ \(run \d+ of \S+-clusters\)", said
    )


def test_running_but_unmeasured_programs_are_measured_first(loaded: Sequence[Result]) -> None:
    _, said = told(loaded, have=("postgres",))
    last = said.splitlines()[-1]
    assert "But first measure postgres and postgres-outbox, because you already run postgres." in last
    assert re.search(r"Next, because it was not measured: `fanbench compare [^`]*\bpostgres postgres-outbox\b", last)


def test_the_outcome_for_running_programs_is_reported(loaded: Sequence[Result]) -> None:
    _, said = told(loaded, have=("rabbitmq",))
    assert re.search(r"rabbitmq, which you already run, is left too; \S+ is [\d.]+x faster in ", said)
    _, said = told(loaded, have=("redis",), nodes=3, promise=LEAST)
    assert (
        "redis, which you already run, is ruled out: fanbench knows no cluster of it, and 3 nodes are required." in said
    )


@pytest.mark.parametrize(
    ("word", "program"),
    [
        ("PostgreSQL", "postgres"),
        ("Redis", "redis"),
        ("redis:7.2", "redis"),
        ("RabbitMQ 3.13", "rabbitmq"),
        ("redis-streams", "redis"),
        ("valkey-sentinel", "valkey"),
        ("kafka", None),
        ("mqtt", None),
    ],
)
def test_a_program_has_its_usual_names(word: str, program: str | None) -> None:
    assert program_named(word) == program
    assert Needs(have=(word,)).programs == ({program} if program else set())
    assert bool(unknown_programs([word])) is (program is None)


def test_for_a_protocol_the_programs_that_speak_it_are_named() -> None:
    (said,) = unknown_programs(["MQTT"])
    assert said.startswith("MQTT is a protocol, which mosquitto, mosquitto-qos1, nats-mqtt and rabbitmq-mqtt speak")
    assert said.endswith("name the program that you run, mosquitto, nats or rabbitmq")


def test_several_programs_in_one_word_are_not_taken_for_one_without_an_adapter() -> None:
    assert unknown_programs(["redis,nats"]) == [
        "'redis,nats' is no program: give each of several by itself, as in --have redis --have nats"
    ]


@pytest.mark.parametrize("word", ["activemq", "keydb", "nsq", "kinesis", "sns", "ably"])
def test_another_product_is_not_taken_for_a_misspelt_one(word: str) -> None:
    (said,) = unknown_programs([word])
    assert said.startswith(f"fanbench has no adapter for {word}: docs/adapters.md")


@pytest.mark.parametrize(
    ("word", "meant"), [("rabitmq", "rabbitmq"), ("Postgre", "postgres"), ("mosquito", "mosquitto")]
)
def test_a_misspelt_program_is_told_with_the_right_one(word: str, meant: str) -> None:
    assert f"did you mean {meant!r}?" in unknown_programs([word])[0]


def test_if_faults_decide_but_were_not_measured_they_come_next(loaded: Sequence[Result]) -> None:
    _, said = told(loaded, max_silence="5s")
    last = said.splitlines()[-1]
    assert "but what faults do to it was not measured" in last
    assert "Next, because it was not measured: `fanbench faults " in last
    _, said = told(loaded, deploys_daily=2)
    assert "2 deploys a day: what each loses was not measured" in said


def test_a_load_beyond_the_measured_one_is_reported_in_each_dimension(loaded: Sequence[Result]) -> None:
    answer, _ = told(loaded, clients=10**6, rate_hz=60, payload_bytes=100)
    assert answer.warnings[0].startswith(
        "50 measured clients stand for 1,000,000, 20,000 times as many and 20 measured events/s stand for 60, 3 times as many: "
    )
    answer, _ = told(loaded, rate_hz=1000)
    assert "whether this machine holds 1,000 events/s at all" in [gap.what for gap in answer.not_measured]
    assert "fanbench capacity valkey --vary rate" in answer.commands[0].command or "nats" in answer.commands[0].command


def test_results_of_another_shape_are_reported(loaded: Sequence[Result]) -> None:
    answer, _ = told(loaded, topics=50, schedule="poisson")
    assert any(
        said.startswith("nothing was measured with 50 topics and the schedule poisson") for said in answer.warnings
    )


def test_a_run_with_more_clients_is_cited(loaded: Sequence[Result], tmp_path: Path) -> None:
    more = made_up.SCENARIO.with_fields(clients=80, rounds=1)
    large = load_all([stored(tmp_path, "large", [made_up.run("valkey", scenario=more)], more)])
    base = next(result for result in loaded if result.compares)
    answer = choose(Needs(clients=60, replicas=2), [base, *large])
    assert answer.base is base
    assert "the largest measured load" not in str(answer.left)  # 80 clients are more than are needed
    search = [replace(one, search=True) for one in large]
    said = str(choose(Needs(clients=1000, replicas=2), [base, *search]).left)
    assert re.search(
        r"the largest measured load is 80 clients on 2 replicas at 20 events/s: p99_ms [\d.]+ \(run 1 of ", said
    )


def test_the_dates_of_all_results_are_shown(loaded: Sequence[Result]) -> None:
    answer, _ = told(loaded)
    first, second = loaded
    dated = [
        replace(r, comparison=replace(r.comparison, started_utc=day))
        for r, day in ((first, "2026-01-02T"), (second, "2026-03-04T"))
    ]
    answer = replace(answer, results=dated)
    assert ", 2026-01-02 to 2026-03-04: " in machine(answer, None)
    assert f"The load nearest to yours is that of {answer.base.name}." in machine(answer, None)


def test_one_contender_is_no_choice_between_several(tmp_path: Path) -> None:
    _, said = told(load_all([stored(tmp_path, "one", rounds("valkey"))]))
    last = said.splitlines()[-1]
    assert last.startswith("Take valkey because it is the only one left with its promise")


def test_a_run_with_a_fault_is_not_a_round_of_the_comparison(tmp_path: Path) -> None:
    broken = made_up.fault_run("valkey", "replica-kill", fanout_ms=900)
    _, said = told(load_all([stored(tmp_path, "beside", [*rounds("valkey", "nats"), broken])]))
    assert re.search(r"valkey: p99_ms [\d.]+ \(run \d+ of \S+-beside\), [\d.]+ to \d\d\.\d+ over 5 rounds", said)


def test_clusters_endpoints_and_anti_patterns_are_no_basis(parent: Path, tmp_path: Path) -> None:
    """The newest result would be the basis; it is left to `fanbench report` if it compares no broker."""
    for place, name in enumerate(("nats-cluster", "valkey-per-client", "memory")):
        newest = load_all([parent, stored(tmp_path / str(place), "newest", rounds(name))])
        assert choose(Needs(), newest).base.name.endswith("-broadcast")
    service = [replace(run, endpoint=True) for run in rounds("nchan")]
    answer, said = told(load_all([stored(tmp_path / "service", "newest", [*rounds("valkey"), *service])]))
    assert "Careful: nchan is a service at an endpoint and no broker: this answer leaves it out" in said
    assert "nchan" not in str(answer.left)


def test_results_without_an_answer_give_the_reason_and_the_next_step(tmp_path: Path, parent: Path) -> None:
    refused = [replace(run, problems=("generator late: free the machine",)) for run in rounds("valkey", "nats")]
    folder = stored(tmp_path, "refused", refused)
    with pytest.raises(UsageError, match=r"each of the 10 runs of \S+ was refused\. First reason: generator late"):
        choose(Needs(), load_all([folder]))
    with pytest.raises(UsageError, match="only faults; give a directory that fanbench compare wrote, or run"):
        choose(Needs(), load_all([next(parent.glob("*failovers"))]))
    with pytest.raises(UsageError, match=r"of a broker: \S+-floor compares none"):
        choose(Needs(), load_all([stored(tmp_path, "floor", rounds("memory"))]))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="empty is not a result directory"):
        load_all([empty])
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(UsageError, match="99"):
        load_all([folder])


@pytest.mark.parametrize(
    ("name", "value"), [("replicas", 65), ("rate_hz", 2e6), ("payload_bytes", 2**21), ("topics", 10**6)]
)
def test_needs_beyond_a_scenario_are_refused_with_the_limit(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name}: .*up to"):
        parse_needs(None, {name: value})


def test_a_payload_below_its_stamp_is_measured_with_the_smallest_one(loaded: Sequence[Result]) -> None:
    answer, _ = told(loaded, payload_bytes=1)
    command = next(one for one in answer.commands if one.shows == "comparison").command
    size = int(re.search(r"--payload-bytes (\d+)", command)[1])  # type: ignore[index]
    Scenario(payload_bytes=size)
    with pytest.raises(ValueError, match="stamp"):
        Scenario(payload_bytes=size - 1)


def test_a_payload_below_its_stamp_is_told_and_measured_once(loaded: Sequence[Result], tmp_path: Path) -> None:
    """The command measures the smallest event that there is, and what it measured is then the needed load."""
    wanted = {"clients": 50, "replicas": 2, "rate_hz": 20, "payload_bytes": 20}
    answer, _ = told(loaded, **wanted)
    (said,) = [said for said in answer.warnings if "stamp" in said]
    least = int(re.search(r"events of (\d+) bytes stand for it", said)[1])  # type: ignore[index]
    assert f"--payload-bytes {least}" in str(answer.commands)
    small = made_up.SCENARIO.with_fields(payload_bytes=least)
    answer, _ = told(
        [*loaded, *load_all([stored(tmp_path, "small", rounds("valkey", scenario=small), small)])], **wanted
    )
    assert answer.base.name.endswith("-small")
    assert "the needed load" not in str(answer.not_measured)


def test_runs_with_a_fault_alone_are_no_place_in_a_comparison(tmp_path: Path) -> None:
    """Those that were to be ranked were refused: it was not measured at this load, and the next command measures it."""
    runs = [*rounds("valkey"), *rounds("nats", problems=("generator late",))]
    runs += [made_up.fault_run("nats", "replica-kill", round=r) for r in range(6, 11)]
    answer, said = told(load_all([stored(tmp_path, "beside", runs)]))
    assert answer.unmeasured == ["nats"]
    assert "nats: p99_ms" not in said
    assert any("nats" in gap.what and "at this load" in gap.what for gap in answer.not_measured)
    with pytest.raises(UsageError, match=r"each of the 5 runs of \S+ was refused\. First reason: generator late"):
        choose(Needs(), load_all([stored(tmp_path / "alone", "alone", runs[5:])]))


def test_the_death_of_a_replica_does_not_stand_for_the_other_faults(loaded: Sequence[Result], tmp_path: Path) -> None:
    killed = [made_up.fault_run(name, "replica-kill", delivery=LEAST) for name in ("redis-streams", "nats-jetstream")]
    results = [*loaded, *load_all([stored(tmp_path, "killed", killed)])]
    answer, said = told(results, slo="lost=0", promise=LEAST, max_silence="2s", have=("redis",))
    last = said.splitlines()[-1]
    assert "but what broker-kill does to it was not measured" in last
    assert "Next, because it was not measured: `fanbench faults " in last
    assert any("redis-streams" in gap.what for gap in answer.not_measured if gap.what.startswith("what faults do"))


def test_whether_the_machine_holds_a_load_is_asked_of_the_needed_topics(loaded: Sequence[Result]) -> None:
    topics = made_up.SCENARIO.with_fields(topics="t-{0..9}")
    many = [replace(one, comparison=replace(one.comparison, scenario=topics)) for one in loaded if one.compares]
    answer, _ = told(many, topics=10, clients=10_000)
    (command,) = [one.command for one in answer.commands if one.shows == "capacity"]
    assert "--topics 10" in command


def test_what_is_lost_although_nothing_broke_is_told_of_what_is_recommended(tmp_path: Path) -> None:
    runs = [made_up.run("valkey", r, lost={"broker": 10 * r}) for r in FIVE] + rounds(
        "rabbitmq", broker_ms=4, fanout_ms=10
    )
    _, said = told(load_all([stored(tmp_path, "lossy", runs)]))
    assert said.count("lost 50 of 5000 though nothing broke (run 5 of ") == 2
    assert re.match(r"Take valkey because .*it lost 50 of 5000 though nothing broke", said.splitlines()[-1])


def test_the_machine_is_asked_for_what_is_recommended(loaded: Sequence[Result], tmp_path: Path) -> None:
    """Where nothing may be lost that is the stronger promise, which is not the first list."""
    killed = [made_up.fault_run("nats-jetstream", "broker-kill", delivery=LEAST)]
    results = [*loaded, *load_all([stored(tmp_path, "killed", killed)])]
    answer, said = told(results, clients=10_000, slo="lost=0", have=("rabbitmq",))
    last = said.splitlines()[-1]
    assert last.startswith("Take nats-jetstream because")
    assert answer.commands[0].command.startswith("fanbench capacity nats-jetstream --vary clients")
    assert f"Next, because it was not measured: {answer.commands[0]}." in last


def test_how_long_clients_heard_nothing_is_told_with_the_limit_and_tried_first_with_what_runs(
    loaded: Sequence[Result], tmp_path: Path
) -> None:
    killed = [made_up.fault_run("nats", "broker-kill", round=r, silence_ms=700 + 100 * r) for r in (1, 2)]
    results = [*loaded, *load_all([stored(tmp_path, "killed", killed)])]
    _, said = told(results, max_silence="2s", have=("rabbitmq",))
    assert re.search(r"nats: .*; silence_ms 900 in broker-kill \(run 2 of \S+-killed\)", said)
    last = said.splitlines()[-1]
    assert re.search(r"Take nats because .*silence_ms 900 in broker-kill \(run 2 of \S+\) is within 2s\.", last)
    assert re.search(r"Next, because it was not measured: `fanbench faults [^`]*\brabbitmq\b", last)


def test_a_killed_replica_is_not_called_a_restart(loaded: Sequence[Result], tmp_path: Path) -> None:
    killed = [made_up.fault_run(name, "replica-kill", delivery=LEAST) for name in ("redis-streams", "nats-jetstream")]
    _, said = told([*loaded, *load_all([stored(tmp_path, "killed", killed)])], have=("valkey",))
    assert re.search(
        r"If no event may be lost when a replica restarts, take \S+, which lost nothing in replica-kill\.", said
    )
