"""/metrics of a replica and of a generator: every series from the first scrape, and what they count."""

import ast
import itertools
import json
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.ports import free_port
from core.process import OWN_PYTHON
from server.metrics import DISCONNECTS, FOREIGN, REFUSALS
from tests.server.program import SseClient, environment, running
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "fanbench.json"
NAME = re.compile(r"\b(?:fanbench|process)_[a-z0-9_]+")
BOTH = {"fanbench_build_info", "fanbench_broker_connected"}


class Pages:
    """What a replica, and the generator in its process, report to Prometheus."""

    def __init__(self, replica, port):
        self.replica = replica
        self._generator = f"http://127.0.0.1:{port}/metrics"

    def of_replica(self):
        return read(self.replica.get("/metrics")[1])

    def of_generator(self):
        with urllib.request.urlopen(self._generator, timeout=20) as answer:
            return read(answer.read())


def read(page):
    """Samples by name and labels; the parser refuses an invalid Prometheus page."""
    families = text_string_to_metric_families(page.decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def names(samples):
    return {name for name, _ in samples}


@pytest.fixture(scope="module")
def pages(integration, tmp_path_factory):
    """For `memory://`: the generator runs in the replica."""
    port = free_port()
    folder = tmp_path_factory.mktemp("metrics")
    settings = {"rate_hz": 50, "metrics_port": port, "commit": "0123abc"}
    with running(folder, broker_url="memory://", **settings) as replica:
        yield Pages(replica, port)


@pytest.fixture(scope="module")
def first(pages):
    """The samples of the first scrape of both."""
    return pages.of_replica(), pages.of_generator()


def dashboard_expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_first_scrape_has_every_series_of_the_dashboard(first):
    wanted = {name for expression in dashboard_expressions() for name in NAME.findall(expression)}
    assert len(wanted) > 20
    assert wanted - names(first[0]) - names(first[1]) == set()


def test_every_series_is_described(first):
    told = set(NAME.findall((ROOT / "docs" / "metrics.md").read_text()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for samples in first for name in names(samples)}
    assert {name for name in families if name.startswith("fanbench_")} - told == set()


def test_the_first_scrape_has_every_reason_as_zero(first):
    replica = first[0]
    for name, reasons in (("disconnects", DISCONNECTS), ("refused", REFUSALS), ("foreign", FOREIGN)):
        assert [replica[f"fanbench_{name}_total", (("reason", reason),)] for reason in reasons] == [0] * len(reasons)
    assert {labels for name, labels in first[1] if name == "fanbench_sent_total"} == {
        (("phase", "measure"),),
        (("phase", "warmup"),),
    }


def literals(package, callees):
    """The text arguments of calls of these functions and methods in a package."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in callees:
                found |= {
                    one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
    return found


def test_every_reason_of_the_source_is_among_those_of_the_first_scrape():
    assert literals("server", {"drop", "_drop", "leave", "end"}) - set(DISCONNECTS) == set()
    foreign = literals("server", {"pass_by", "StampError"}) | literals("core", {"StampError"})
    foreign -= literals("core/endpoint", {"StampError"})  # read by clients, not by a replica
    foreign |= literals("brokers", {"pass_by", "_pass_by"})
    assert len(foreign) > 12
    assert foreign - set(FOREIGN) == set()


def test_both_report_their_build_and_that_the_broker_is_up(first):
    for samples in first:
        (labels,) = [dict(labels) for name, labels in samples if name == "fanbench_build_info"]
        assert labels["commit"] == "0123abc"
        assert re.match(r"\d+\.\d+", labels["version"])
        assert samples["fanbench_broker_connected", ()] == 1


def test_the_histograms_count_each_event_in_seconds(pages):
    with SseClient(pages.replica.port) as client:
        client.opened()
        client.take(20)
        found = pages.of_replica()  # made in the counting loop, so its numbers agree
        received = sum(value for (name, _), value in found.items() if name == "fanbench_received_total")
        assert received >= 20
        check_histogram(found, "fanbench_broker_hop_seconds", received)
        turns = found["fanbench_fanout_seconds_count", ()]
        assert 1 <= turns <= received
        check_histogram(found, "fanbench_fanout_seconds", turns)
        assert found["fanbench_broker_hop_negative_total", ()] == 0
    wait_until(lambda: pages.of_replica()["fanbench_disconnects_total", (("reason", "client left"),)], "it left", 30)


def check_histogram(samples, name, count):
    """The buckets grow up to the count, and the sum is possible for these latencies."""
    ends = [
        (float(dict(labels)["le"]), value) for (found, labels), value in samples.items() if found == f"{name}_bucket"
    ]
    ends.sort()
    counted = [value for _, value in ends]
    assert counted == sorted(counted)
    assert ends[-1] == (float("inf"), count)
    assert samples[f"{name}_count", ()] == count
    lowest = sum(end * (value - before) for (end, before), (_, value) in itertools.pairwise(ends))
    assert lowest <= samples[f"{name}_sum", ()] < 3600


def test_the_generator_counts_what_it_sends(pages):
    before = pages.of_generator()["fanbench_sent_total", (("phase", "measure"),)]
    found = wait_until(lambda: grown(pages.of_generator(), before + 20), "20 events more", 30)
    assert found["fanbench_failed_total", ()] == 0
    assert found["fanbench_schedule_lag_seconds_count", ()] >= before + 20
    assert found["fanbench_publish_seconds_count", ()] >= before + 20 - found["fanbench_in_flight", ()]
    assert found["fanbench_offered_hz", ()] == 50


def grown(samples, count):
    return samples if samples["fanbench_sent_total", (("phase", "measure"),)] >= count else None


def test_a_port_in_use_ends_the_program_in_one_line(integration, valkey, tmp_path, pages):
    env = environment({"broker_url": valkey, "metrics_port": pages.replica.port})
    command = [*OWN_PYTHON, "-m", "generator"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert f"127.0.0.1:{pages.replica.port}" in line
    assert "FANBENCH_METRICS_PORT" in line
