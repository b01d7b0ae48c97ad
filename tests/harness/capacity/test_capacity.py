"""A capacity search: how a run is judged, what is repeated, what is reported; and the command on a real broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from core.contracts.capacity import CapacityPoint
from core.errors import UsageError
from core.scenario import Scenario
from core.topics import expand_topics
from harness.analysis.capacity_answers import in_words
from harness.analysis.slo import Slo
from harness.capacity import capacity_runs as probes
from harness.capacity.capacity_runs import Budget, CapacityRuns, PermanentFailureError, at_load, by_weather, judge
from harness.capacity.findings import as_found, bounds
from harness.capacity.search import SearchAnswer
from harness.commands.capacity import capacity_command
from harness.results.load import load_capacity, load_results
from harness.results.run_record import Run, Usage
from harness.results.store import open_results
from harness.runner.deployment import Deployment
from harness.schedule.retry_queue import REPEATS
from tests.harness import made_up
from tests.harness.command import fanbench

SLO = Slo.parse("p99<100ms, lost=0")
LATE = ("generator late: p99 9.0 ms behind its schedule",)
FULL = {part: Usage(made_up.SCENARIO.duration_s * 0.6, 50, 0.6) for part in ("server", "load", "generator")}


def test_each_axis_raises_its_field_and_connects_in_seconds() -> None:
    raised = {axis: at_load(made_up.SCENARIO, axis, 8) for axis in ("clients", "rate", "replicas", "topics")}
    assert (raised["clients"].clients, raised["rate"].rate_hz, raised["replicas"].replicas) == (8, 8.0, 8)
    assert len(expand_topics(raised["topics"].topics)) == 8
    assert at_load(made_up.SCENARIO, "clients", 10_000).connect_hz == 5000


def test_the_search_begins_at_what_the_command_line_gives() -> None:
    scenario = made_up.SCENARIO.with_fields(clients=70, rate_hz=30.0)
    assert [bounds(scenario, axis).start for axis in ("clients", "rate", "replicas", "topics")] == [70, 30, 1, 1]


@pytest.mark.parametrize(
    ("run", "held", "judged", "why"),
    [
        (made_up.run(), True, True, ""),
        (made_up.run(fanout_ms=90.0), False, True, "p99 "),
        (made_up.run(lost={"broker": 2}), False, True, "lost 2 (lost=0 wanted)"),
        (made_up.run(problems=("load at 95%",)), False, True, "load at 95%"),
        (made_up.run(problems=LATE, disturbed=True), False, False, "generator late"),
        (made_up.run(problems=LATE, disturbed=True, usage=FULL), False, True, "generator late"),
        (Run("valkey", 1, "at-most-once", made_up.SCENARIO, problems=("no answer",)), False, True, "no answer"),
    ],
)
def test_a_run_is_judged_unless_the_machine_disturbed_it(run: Run, held: bool, judged: bool, why: str) -> None:
    point = judge(run, SLO, 50, cores=2)
    assert (point.held, point.judged, point.load, point.lost) == (held, judged, 50, run.lost)
    assert point.why.startswith(why)
    assert bool(point.why) is not held


@pytest.mark.parametrize(("bound_ms", "held"), [(0.0, True), (1e6, False)])
def test_an_objective_closer_than_the_clocks_are_known_is_the_harness_limit(bound_ms: float, held: bool) -> None:
    point = judge(made_up.run(figures={"latency_bound_ms": bound_ms}), SLO, 50, cores=2)
    assert (point.held, point.judged, point.by_harness) == (held, True, not held)
    assert ("by the hosts' clocks" in point.why) is not held
    slow = judge(made_up.run(fanout_ms=90.0, figures={"latency_bound_ms": bound_ms}), SLO, 50, cores=2)
    assert not slow.by_harness


def test_a_late_generator_is_the_loads_fault_only_if_the_load_fills_the_machine() -> None:
    late = made_up.run(problems=LATE, disturbed=True, usage=FULL)  # 1.8 cores in all
    assert not by_weather(late, cores=2)
    assert by_weather(late, cores=4)


def test_replicas_and_workers_elsewhere_take_none_of_this_machines_cores() -> None:
    late = made_up.run(problems=LATE, disturbed=True, usage=FULL, not_watched=("broker", "others"))
    assert by_weather(late, cores=2)


def test_the_budget_counts_what_the_last_runs_took() -> None:
    now_s = 0.0
    budget = Budget(100.0, first_s=20.0, clock=lambda: now_s)
    assert budget.affords(5)
    assert not budget.affords(6)
    for _ in range(3):
        budget.add(10.0)
    now_s = 30.0
    assert budget.affords(7)
    assert not budget.affords(8)


@pytest.fixture
def oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """CapacityRuns with made-up runs, in this order."""

    def made(*runs: Run, within_s: float = 1000.0) -> CapacityRuns:
        waiting = list(runs)
        monkeypatch.setattr(probes, "measure", lambda job, results, say: waiting.pop(0))
        results = open_results(tmp_path, "made-up", scenario=made_up.SCENARIO, command="", host={}, versions={})
        return CapacityRuns(find_contender("valkey"), made_up.SCENARIO, "clients", SLO, results, within_s)

    return made


GOOD, DISTURBED = made_up.run(), made_up.run(problems=LATE, disturbed=True)


def test_a_disturbed_run_is_repeated_and_kept(oracle) -> None:
    tried = oracle(DISTURBED, DISTURBED, GOOD)
    assert tried.holds(50) is True
    assert [(point.held, point.judged) for point in tried.points] == [(False, False), (False, False), (True, True)]


def test_a_load_that_is_always_disturbed_is_not_judged(oracle) -> None:
    tried = oracle(*[DISTURBED] * 10)
    assert tried.holds(50) is None
    assert len(tried.points) == 1 + REPEATS


def test_a_failure_at_any_load_ends_the_search_at_once_and_is_no_limit(oracle) -> None:
    missing = made_up.run(problems=("aiomqtt is not installed",), permanent=True, usage={})
    tried = oracle(*[missing] * 10)
    with pytest.raises(PermanentFailureError):
        tried.holds(50)
    assert [(point.held, point.judged) for point in tried.points] == [(False, False)]


def test_nothing_is_repeated_without_time_for_it(oracle) -> None:
    tried = oracle(*[DISTURBED] * 10, within_s=0)
    assert tried.holds(50) is None
    assert len(tried.points) == 1


def found(answer: SearchAnswer, *outcomes: tuple[int, bool | None]):
    """The report of a search after runs of these loads; None: not judged."""
    whys = {True: "", False: "p99 120 ms", None: "others used 0.9 cores"}
    points = [
        CapacityPoint(load=load, held=held is True, p99_ms=80, lost=0, why=whys[held], judged=held is not None)
        for load, held in outcomes
    ]
    runs = [made_up.run(round=number) for number, _ in enumerate(points, 1)]
    return as_found("valkey", "clients", SLO, answer, points, runs)


def test_a_confirmed_answer_has_both_sides_and_the_interval() -> None:
    told = found(SearchAnswer(4000, 4400, True), *[(4000, True)] * 3, (4400, False), (4400, True), (4400, False))
    estimate, low, high = told.p99_ms
    assert low < estimate < high
    said = in_words(told)
    assert said.startswith("valkey holds p99<100ms, lost=0 up to 4,000 clients (held in 3 of 3 runs, p99 ")
    assert said.endswith("; 4,400 broke in 2 of 3 runs, first: p99 120 ms")


@pytest.mark.parametrize(
    ("answer", "outcomes", "said"),
    [
        (
            SearchAnswer(1000, None, note="interrupted"),
            [(500, True), (1000, True)],
            "valkey: at least 1,000 clients held p99<100ms, lost=0 (held in 1 of 1 runs",
        ),
        (
            SearchAnswer(None, None, note="interrupted"),
            [],
            "found no load that holds p99<100ms, lost=0: interrupted",
        ),
        (SearchAnswer(None, 1, note="no limit found: even"), [(1, False)], "no limit found: even; p99 120 ms"),
        (
            SearchAnswer(700, 750, note="no run at 750 could be judged"),
            [(700, True), (750, None)],
            "not confirmed: no run at 750 could be judged; 750: others used 0.9 cores",
        ),
        (SearchAnswer(9, None, True, note="no limit found: it is"), [(9, True)], "; no limit found: it is"),
    ],
)
def test_an_answer_claims_only_what_was_measured(
    answer: SearchAnswer, outcomes: list[tuple[int, bool]], said: str
) -> None:
    assert said in in_words(found(answer, *outcomes))


def test_a_refused_run_is_the_harnesss_limit_and_never_the_contenders() -> None:
    late = judge(made_up.run(problems=LATE, disturbed=True, usage=FULL), SLO, 4400, cores=2)
    broken = judge(made_up.run(fanout_ms=90.0), SLO, 4400, cores=2)
    assert [point.by_harness for point in (late, broken)] == [True, False]
    held = CapacityPoint(load=4000, held=True, p99_ms=80, lost=0, why="")

    def told(*at_break: CapacityPoint) -> str:
        points = [held] * 3 + list(at_break)
        runs = [made_up.run(round=number) for number, _ in enumerate(points, 1)]
        return in_words(as_found("valkey", "clients", SLO, SearchAnswer(4000, 4400, True), points, runs))

    assert told(late, late).endswith(
        f"; the harness reached its limit at 4,400, which says nothing about valkey: refused in 2 of 2 runs, first: {LATE[0]}"
    )
    assert "; 4,400 broke in 2 of 2 runs, first: p99 " in told(late, broken)


def test_where_the_harness_refused_every_run_the_contender_is_not_said_to_break() -> None:
    points = [judge(made_up.run(problems=LATE, disturbed=True, usage=FULL), SLO, load, cores=2) for load in (2, 1)]
    runs = [made_up.run(round=number) for number in (1, 2)]
    nothing = SearchAnswer(None, 1, note="no limit found: even the smallest load, 1, does not hold")
    assert in_words(as_found("valkey", "clients", SLO, nothing, points, runs)) == (
        f"valkey: the harness refused every run, down to 1 clients, which says nothing about valkey; last: {LATE[0]}"
    )


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(600)
def test_a_search_for_each_program_ends_in_one_page_with_their_curves(tmp_path: Path) -> None:
    done = fanbench(
        *["capacity", "--all", "--vary", "clients", "--clients", "5", "--duration", "0.5", "--warmup", "0.2"],
        *["--replicas", "1", "--within", "15", "--out", tmp_path, "--json"],
        timeout_s=500,
    )
    told = json.loads(done.stdout)
    assert len(told["searches"]) >= 3, done.stderr
    page = Path(told["report"]).read_text(encoding="utf-8")
    curves = 0
    for search in told["searches"]:
        stored = load_capacity(Path(search["folder"]))
        assert stored is not None
        curves += len({point.load for point in stored.points if point.judged and not point.by_harness}) > 1
    assert ("Latency over" in page) == (curves > 0)
    for search in told["searches"]:
        assert search["contender"] in page


@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(300)
def test_the_command_ends_within_its_time_and_keeps_every_run(tmp_path: Path) -> None:
    done = fanbench(
        *["capacity", "valkey", "--vary", "clients", "--clients", "5", "--duration", "0.5", "--warmup", "0.2"],
        *["--replicas", "1", "--within", "20", "--out", tmp_path, "--json"],
        timeout_s=200,
    )
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["confirmed"] else 1), done.stderr
    folder = Path(told["folder"])
    search, comparison = load_capacity(folder), load_results(folder)
    assert search is not None
    assert [point.load for point in search.points] == [run.scenario.clients for run in comparison.runs]
    assert search.points[0].load == 5
    assert told["note"]  # 20 seconds are too short for a precise answer here
    assert comparison.verdict == (in_words(search),)
    assert (folder / "report.html").is_file()


def test_several_generators_cannot_begin_with_one_topic(tmp_path: Path) -> None:
    scenario = Scenario(topics="room-{0..3}", generator_processes=2)
    with pytest.raises(UsageError, match="--generator-processes 2: --vary topics begins with one topic"):
        capacity_command("valkey", "topics", Slo.parse("lost=0"), scenario, tmp_path, False, 10)
    elsewhere = Deployment(("http://a:8000",), ("http://a:8000",), 1, "127.0.0.1", 5557, generators=2)
    scenario = Scenario(topics="room-{0..3}")
    with pytest.raises(UsageError, match="--generators-expected 2: --vary topics begins with one topic"):
        capacity_command("nats://a", "topics", Slo.parse("lost=0"), scenario, tmp_path, False, 10, deployment=elsewhere)
