"""Failovers: the silence of each run, its interval, and the losses, as the report shows them."""

from dataclasses import replace

import pytest

from core.fault import KINDS, WHAT
from harness.analysis.failovers import failovers
from harness.analysis.fault_evidence import evidence_of
from harness.analysis.statistics import Interval
from harness.analysis.stored_results import Result
from harness.report.decision import decision_table
from harness.report.failovers import failover_charts, failover_details, failover_table
from harness.report.page import as_markdown, view_of
from harness.report.view import settings_tables
from harness.results.run_record import Comparison
from tests.harness import made_up
from tests.harness.made_up import SCENARIO, fault_run

SETTINGS = {"valkey-sentinel": {"down_after_ms": 1000}, "nats-jetstream-r3": {"sync_interval_s": 120}}


def node_run(contender, kind, number, silence_ms, **fields):
    run = fault_run(contender, kind, silence_ms=silence_ms, round=number, **fields)
    further = {"silence_p50_ms": silence_ms * 0.9, "publish_outage_ms": silence_ms * 0.8}
    further["lost_though_published"] = min(8.0, run.lost)
    return type(run)(**{name: getattr(run, name) for name in run.__slots__} | {"figures": run.figures | further})


@pytest.fixture
def comparison():
    runs = [node_run("valkey-sentinel", "leader-kill", n, 2000 + 100 * n, lost={"broker": 230}) for n in range(1, 6)]
    runs += [
        node_run("nats-jetstream-r3", "leader-kill", n, 5000 + 1000 * n, delivery="at-least-once") for n in range(1, 6)
    ]
    runs += [node_run("nats-jetstream-r3", "follower-kill", 1, 90, delivery="at-least-once", lost={"broker": 4})]
    return Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)


def test_the_silence_is_the_mean_of_the_runs_with_an_interval_from_two_runs_on(comparison):
    found = {(one.outcome.contender, one.outcome.fault): one for one in failovers(comparison)}
    valkey = found["valkey-sentinel", "leader-kill"]
    assert valkey.silences_s == pytest.approx([2.1, 2.2, 2.3, 2.4, 2.5])
    assert isinstance(valkey.silence_s, Interval)
    assert valkey.silence_s.estimate == pytest.approx(2.3)
    assert valkey.silence_s.low < 2.3 < valkey.silence_s.high
    assert valkey.outage_s.estimate == pytest.approx(2.3 * 0.8)
    assert found["nats-jetstream-r3", "follower-kill"].silence_s == pytest.approx(0.09)
    assert valkey.lost_though_published == 40


def test_a_few_runs_have_no_interval_but_the_lowest_and_the_highest():
    runs = [node_run("valkey-sentinel", "leader-kill", n, 1000 * n) for n in (1, 2, 6)]
    made = Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)
    (found,) = failovers(made)
    assert found.silence_s == Interval(3.0, 1.0, 6.0)
    assert "3 runs, lowest to highest" in failover_table([found]).rows[0][1].small


def test_a_node_that_also_led_is_reported():
    runs = [node_run("nats-jetstream-r3", "connected-node-kill", n, 100) for n in (1, 2)]
    for number, run in enumerate(runs):
        run.figures["broken_node_led"] = float(number)
    made = Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)
    assert "the node led in 1 of them" in failover_table(failovers(made)).rows[0][1].small


def test_a_node_that_had_to_be_restarted_is_reported():
    runs = [node_run("rabbitmq-cluster", "leader-cut", n, 100) for n in (1, 2)]
    for number, run in enumerate(runs):
        run.figures["needed_help"] = float(number)
    made = Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)
    assert "the node was started again in 1 of them" in failover_table(failovers(made)).rows[0][1].small


def test_the_table_has_every_cell_the_quickest_contender_first(comparison):
    table = failover_table(failovers(comparison))
    assert table.headings == ["contender", "leader-kill", "follower-kill"]
    assert [row[0].text for row in table.rows] == ["valkey-sentinel", "nats-jetstream-r3"]
    assert table.rows[0][0].small == "at-most-once"
    leader, follower = table.rows[1][1:]
    assert leader.text.startswith("8 s (")
    assert (leader.kind, follower.kind) == ("good", "bad")
    assert "· one run" in follower.small
    assert "4 lost, 4 of them acknowledged · promised not to" in follower.small
    assert table.rows[0][1].kind == "warn"
    assert table.rows[0][2].text == "not measured"  # this fault is possible for it


def test_an_impossible_cell_gives_the_reason_and_refused_runs_are_counted():
    runs = [node_run("nats-cluster", "connected-node-kill", 1, 20), node_run("valkey-sentinel", "leader-kill", 1, 2000)]
    runs.append(node_run("valkey-sentinel", "leader-kill", 2, 2000, problems=("the machine was busy",)))
    made = Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)
    cells = {row[0].text: row[1:] for row in failover_table(failovers(made)).rows}
    assert cells["nats-cluster"][1].small == "nats-cluster has no leader: see connected-node-kill"
    connected, led = cells["valkey-sentinel"]
    assert (connected.text, connected.small) == (
        "impossible",
        "clients of valkey-sentinel are connected to the leader: see leader-kill",
    )
    assert "one run · 1 refused" in led.small


def test_each_declared_setting_has_a_row(comparison):
    (table,) = settings_tables(comparison)
    rows = [[cell.text for cell in row] for row in table.rows]
    assert rows == [
        ["valkey-sentinel", "down_after_ms", "1,000"],
        ["nats-jetstream-r3", "sync_interval_s", "120"],
    ]


def test_details_and_chart_have_every_cell(comparison):
    found = failovers(comparison)
    assert len(failover_details(found).rows) == 3
    (chart,) = failover_charts(found)
    assert "valkey-sentinel" in chart.svg
    assert "follower-kill" in chart.svg
    assert failover_charts([]) == []


def test_the_report_opens_with_failovers_and_says_what_each_fault_is(comparison):
    text = as_markdown(view_of(comparison))
    assert text.index("When a node dies") < text.index("Failovers in figures") < text.index("The faults")
    assert "What each fault did" not in text


def test_concurrent_runs_are_reported(comparison):
    assert "2 runs ran at the same time" in " ".join(view_of(replace(comparison, lanes=2)).method)
    assert "runs ran at the same time" not in " ".join(view_of(comparison).method)


def test_faults_of_nodes_that_were_not_measured_are_named(comparison):
    note = failover_table(failovers(comparison)).note
    assert "leader-cut" in note.partition("Not measured: ")[2]
    assert "leader-kill" not in note.partition("Not measured: ")[2]


def test_a_cut_that_finds_no_leader_says_which_fault_does():
    runs = [node_run("nats-cluster", "minority-cut", 1, 20), node_run("valkey-sentinel", "leader-cut", 1, 2000)]
    made = Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)
    table = failover_table(failovers(made))
    cells = {row[0].text: dict(zip(table.headings[1:], row[1:], strict=True)) for row in table.rows}
    assert cells["nats-cluster"]["leader-cut"].small == "nats-cluster has no leader: see minority-cut"


def test_every_fault_of_nodes_says_how_it_is_undone():
    kinds = [kind for kind in KINDS if WHAT[kind].of_nodes]
    assert len(kinds) == 8
    assert all(WHAT[kind].undone for kind in kinds)


def test_the_first_table_takes_the_deaths_of_one_node_and_no_loss_of_them_is_left_out():
    """Nodes that die all at once or one after the other are another fault: longer, and no part of that column."""
    least = {"delivery": "at-least-once"}
    runs = [node_run("nats-jetstream-r3", "leader-kill", 1, 5000, **least)]
    runs += [node_run("nats-jetstream-r3", "connected-node-kill", 1, 90, lost={"broker": 4}, **least)]
    runs += [node_run("nats-jetstream-r3", kind, 1, 60_000, **least) for kind in ("cluster-kill", "rolling-restart")]
    made = Comparison("faults", SCENARIO, runs, "2026-11-29T00:00:00Z", "fanbench faults", {}, {}, SETTINGS)
    compared = made_up.comparison([made_up.run("nats-jetstream", n, **least) for n in range(1, 6)])
    table = decision_table(compared, evidence_of([Result("failovers", made, search=False)]))
    cell = table.rows[0][table.headings.index("one of 3 nodes dies")]
    assert (cell.text, cell.small, cell.kind) == ("0–4", "5.0 s, nats-jetstream-r3", "bad")
