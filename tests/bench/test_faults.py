"""`fanbench faults` on real programs: losses are counted exactly, charged to a cause, and everything comes back."""

import csv
import json

import pytest

from tests.bench.command import fanbench

pytestmark = pytest.mark.timeout(300)  # real programs on two cores that other tests share

SMALL = ("--clients", 40, "--rate", 40, "--duration", 4, "--at", 1, "--for", 1)
CAUSES = ("broker", "gap", "slow_client", "connection_down", "unexplained", "under_way")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The rows of summary.csv by (contender, fault), with what --json said."""
    out = tmp_path_factory.mktemp("results")
    faults = ("--fault", "broker-kill", "--fault", "link-cut", "--fault", "replica-kill")
    done = fanbench("faults", "valkey", "nats-jetstream", *faults, *SMALL, "--out", out, "--json", timeout_s=280)
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    (folder,) = out.iterdir()
    with (folder / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(run["contender"], run["fault"]): (run, row, done) for run, row in zip(answer["runs"], rows, strict=True)}


def test_every_cell_is_filled_and_every_count_adds_up(results):
    assert len(results) == 6
    for run, row, done in results.values():
        assert run["valid"], (run, done.stderr)
        assert int(row["delivered"]) + int(row["lost"]) == int(row["expected"]) == 40 * 40 * 4
        assert sum(int(row[f"lost_{cause}"]) for cause in CAUSES) == int(row["lost"])
        assert run["recovered"] == 1.0


def test_pub_sub_loses_what_passed_while_the_broker_was_down_and_says_so(results):
    run, row, _ = results["valkey", "broker-kill"]
    # One second of 40 events/s to 40 clients, and what passed while both sides connected again.
    assert 40 * 40 * 0.9 <= run["lost"] <= 40 * 40 * 4
    assert int(row["lost_broker"]) >= 0.9 * run["lost"]


def test_a_cut_link_costs_the_clients_of_one_replica_only(results):
    run, _, _ = results["valkey", "link-cut"]
    assert 20 * 40 * 0.9 <= run["lost"] <= 20 * 40 * 4


@pytest.mark.parametrize("fault", ["broker-kill", "link-cut", "replica-kill"])
def test_replay_loses_nothing(fault, results):
    run, _, _ = results["nats-jetstream", fault]
    assert run["lost"] == 0
