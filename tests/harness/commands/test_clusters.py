"""`fanbench faults` on clusters: the leader dies, clients notice it for a while, and every count adds up."""

import csv
import json
import os
import subprocess

import psutil
import pytest

from brokers.programs.namespaces import why_not
from tests.harness.command import FANBENCH, Started, command_line, fanbench
from tests.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.timeout(300), pytest.mark.soak]
SMALL = ("--clients", 40, "--rate", 40, "--duration", 4, "--at", 1)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    faults = ("--fault", "leader-kill", "--fault", "follower-kill")
    done = fanbench(
        "faults", "valkey-streams-sentinel?down_after_ms=2000", *faults, *SMALL, "--out", out, "--json", timeout_s=250
    )
    assert done.stdout, done.stderr
    (folder,) = out.iterdir()
    return json.loads(done.stdout), folder, done


def test_each_cell_is_filled_and_no_acknowledged_event_is_lost(answer):
    told, folder, done = answer
    cells = {(run["contender"], run["fault"]): run for run in told["runs"] if run["valid"]}
    assert len(cells) == 2, done.stderr
    for run in cells.values():
        assert (run["lost"], run["recovered"]) == (0, 1.0)
        assert run["delivered"] == run["expected"]
        assert run["silence_p50_ms"] <= run["silence_ms"]
    for contender in {name for name, _ in cells}:
        led, followed = cells[contender, "leader-kill"], cells[contender, "follower-kill"]
        assert led["silence_ms"] > followed["silence_ms"]
        assert led["publish_outage_ms"] > 0
    with (folder / "summary.csv").open(newline="") as file:
        assert all(int(row["delivered"]) + int(row["lost"]) == int(row["expected"]) for row in csv.DictReader(file))


def test_the_declared_settings_are_shown_with_the_result(answer):
    _, folder, done = answer
    settings = json.loads((folder / "manifest.json").read_text())["settings"]
    assert settings["valkey-streams-sentinel?down_after_ms=2000"]["down_after_ms"] == 2000
    page = (folder / "report.html").read_text()
    assert "down_after_ms" in page
    assert "2,000" in page
    assert "When a node dies" in page
    assert "longest silence" in done.stderr


def test_no_node_and_no_data_is_left(answer):
    _, folder, _ = answer
    assert not list((folder / "logs" / "clusters").glob("*/*-data"))


def test_a_fault_of_nodes_is_refused_for_one_process_and_says_why(tmp_path):
    done = fanbench("faults", "valkey", "--fault", "leader-kill", "--out", tmp_path)
    assert done.returncode == 2
    assert "valkey is not a cluster" in done.stderr


def test_a_missing_leader_is_reported(tmp_path):
    done = fanbench("faults", "nats-cluster", "--fault", "leader-kill", "--out", tmp_path)
    assert done.returncode == 2
    assert "nats-cluster has no leader: see connected-node-kill" in done.stderr


@pytest.mark.parametrize("contender", ["valkey-streams-sentinel", "nats-jetstream-r3", "rabbitmq-quorum"])
def test_a_cut_off_leader_breaks_only_promises_that_cannot_be_kept(contender, tmp_path):
    if (why := why_not()) is not None:
        pytest.skip(why)
    done = fanbench("faults", contender, "--fault", "leader-cut", *SMALL, "--out", tmp_path, "--json", timeout_s=250)
    assert done.stdout, done.stderr
    run = next(run for run in json.loads(done.stdout)["runs"] if run["valid"])
    assert run["recovered"] == 1.0
    if contender == "valkey-streams-sentinel" and run["lost"]:
        # Acknowledged by a primary without replicas, then discarded: the events that nobody had read.
        assert run["lost"] == run["lost_though_published"]
        assert "still acknowledges" in " ".join(done.stderr.split())
    else:
        assert run["lost"] == 0
    assert not [name for name in psutil.net_if_stats() if name.startswith("fanbench-")]


def test_a_cut_without_networks_is_left_out_and_reported(tmp_path):
    unshared = ["setpriv", "--inh-caps", "-all", "--bounding-set", "-all"] if os.geteuid() == 0 else []
    words = ["faults", "valkey-sentinel", "--fault", "leader-cut", "--out", str(tmp_path)]
    done = subprocess.run([*unshared, *FANBENCH, *words], capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "skipped: leader-cut: needs " in " ".join(done.stderr.split())


def test_ctrl_c_in_two_lanes_keeps_the_finished_runs_and_leaves_nothing(tmp_path):
    kinds = ["follower-kill"] + ([] if why_not() else ["minority-cut"])
    words = [word for kind in kinds for word in ("--fault", kind)]
    words += ["--clients", 40, "--rate", 40, "--duration", 4, "--at", 1, "--rounds", 20, "--out", tmp_path / "results"]
    run = Started("faults", "valkey-sentinel", "nats-cluster", *words, log=tmp_path / "log")
    try:
        wait_until(lambda: run.look() and _finished(tmp_path / "results"), "two finished runs", 150)
        assert sum("harness.schedule.lane" in command_line(process) for process in run.seen) == 2
        run.interrupt()
        wait_until(lambda: not run.left(), "the end of every child", 30)
        assert run.process.wait(60) == 1
    finally:
        run.close()
    (folder,) = (tmp_path / "results").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["complete"], manifest["lanes"]) == (False, 2)
    assert len(manifest["order"]) >= 2
    assert "one run" in (folder / "report.html").read_text()
    assert not list(folder.glob("logs/clusters-*/*/*-data"))
    assert not [name for name in psutil.net_if_stats() if name.startswith("fanbench-")]


def _finished(results):
    """Whether two runs are in its files."""
    return any(len(file.read_text().splitlines()) > 2 for file in results.glob("*/summary.csv"))
