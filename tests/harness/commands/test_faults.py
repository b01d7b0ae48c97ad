"""`fanbench faults` on real programs: losses are counted exactly, charged to a cause, and everything comes back."""

import csv
import json

import pytest

from tests.harness.command import fanbench

pytestmark = pytest.mark.timeout(300)  # real programs on two cores that other tests share

CELLS = {"valkey": ("broker-kill", "link-cut"), "nats-jetstream": ("broker-kill", "replica-kill")}
SMALL = ("--clients", 40, "--rate", 40, "--duration", 4, "--at", 1, "--for", 1)
CUT_S = 1
RATE_HZ, CLIENTS, REPLICAS = 40, 40, 2
CAUSES = ("broker", "gap", "slow_client", "connection_down", "unexplained", "under_way")


@pytest.fixture(scope="module")
def results(integration, tmp_path_factory):
    """The rows of summary.csv by (contender, fault), with the output of --json."""
    found = {}
    for contender, faults in CELLS.items():
        out = tmp_path_factory.mktemp(contender)
        words = [word for fault in faults for word in ("--fault", fault)]
        done = fanbench("faults", contender, *words, *SMALL, "--out", out, "--json", timeout_s=140)
        assert done.stdout, done.stderr
        answer = json.loads(done.stdout)
        (folder,) = out.iterdir()
        with (folder / "summary.csv").open(newline="") as file:
            rows = [row | {"folder": folder} for row in csv.DictReader(file)]
        found |= {(contender, run["fault"]): (run, row, done) for run, row in zip(answer["runs"], rows, strict=True)}
    return found


def test_every_cell_is_filled_and_every_count_adds_up(results):
    assert set(results) == {(contender, fault) for contender, faults in CELLS.items() for fault in faults}
    for run, row, done in results.values():
        assert run["valid"], (run, done.stderr)
        assert int(row["delivered"]) + int(row["lost"]) == int(row["expected"]) == CLIENTS * int(row["published"])
        assert int(row["published"]) >= RATE_HZ * (1 + CUT_S + 4)  # it continued for a while after the fault was undone
        assert sum(int(row[f"lost_{cause}"]) for cause in CAUSES) == int(row["lost"])
        assert run["recovered"] == 1.0


def missed_by_replica(row, fault):
    """For each replica, how many published events its broker did not deliver, according to the programs."""
    folder = row["folder"] / "logs" / f"round-1-{row['contender']}-{fault}"
    report = json.loads((folder / "generator.report.json").read_text())
    servers = json.loads((folder / "load.json").read_text())["servers"]
    published = report["published"]["events"]["measure"]
    clients = CLIENTS // REPLICAS
    return sorted(published - servers[name]["deliveries"] // clients for name in servers)


def test_pub_sub_loses_exactly_what_was_published_while_the_link_was_down(results):
    _, row, _ = results["valkey", "link-cut"]
    untouched, missed = missed_by_replica(row, "link-cut")
    assert untouched == 0
    # The link was down for the second of the cut, and for the backoff until the replica reconnected.
    assert missed >= RATE_HZ * CUT_S - 1
    assert int(row["lost"]) == int(row["lost_broker"]) + int(row["lost_gap"]) == missed * CLIENTS // REPLICAS


def test_pub_sub_loses_what_was_published_while_the_broker_was_down_charged_to_it(results):
    _, row, _ = results["valkey", "broker-kill"]
    assert int(row["lost_broker"]) + int(row["lost_gap"]) == int(row["lost"]) >= CLIENTS * (RATE_HZ * CUT_S - 1)


@pytest.mark.parametrize("fault", CELLS["nats-jetstream"])
def test_replay_loses_nothing(fault, results):
    run, _, _ = results["nats-jetstream", fault]
    assert run["lost"] == 0
