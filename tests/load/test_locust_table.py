"""Which of the suite's measurements reach Locust's table, its files and its listeners."""

import csv
import json

import pytest

from tests.load.sse_service import EVENTS, Service
from tests.load.swarm import swarm
from tests.server.program import running
from tests.truth.measuring import ROOT

pytestmark = pytest.mark.usefixtures("integration")

LISTENER = """
import json
from locust import events
from load.sse import SSEClient

told = {}

@events.request.add_listener
def note(request_type, name, response_time, response_length, response, context, exception, start_time, url, **kwargs):
    one = told.setdefault(f"{request_type} {name}", {"count": 0, "bytes": 0, "failures": 0, "fractions": 0})
    one["count"] += 1
    one["bytes"] += response_length
    one["failures"] += exception is not None
    one["fractions"] += response_time % 1 != 0

@events.quit.add_listener
def write(**_):
    with open(TOLD, "w") as file:
        json.dump(told, file)
"""


@pytest.fixture
def started(tmp_path):
    with (
        running(tmp_path, broker_url="memory://", rate_hz=50) as replica,
        swarm(tmp_path, f"http://127.0.0.1:{replica.port}") as one,
    ):
        yield one


def rows(path):
    with path.open(newline="") as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("processes", [1, 2])
def test_files_of_locust_keep_connect_and_delivery_apart_to_a_tenth_of_a_millisecond(started, tmp_path, processes):
    words = ["-u", "6", "-r", "6", "-t", "6s", "--csv", tmp_path / "stats"]
    run = started.locust(*words) if processes == 1 else started.processes(2, 6, *words)
    assert run.wait() == 0, run.text
    result = started.result()
    stats = rows(tmp_path / "stats_stats.csv")
    counts = {name: int(row["Request Count"]) for name, row in stats.items()}
    assert counts == {"connect": 6, "delivery": result["deliveries"], "Aggregated": result["deliveries"]}
    for name in ("delivery", "Aggregated"):
        assert float(stats[name]["Average Content Size"]) == pytest.approx(result["event_bytes"], rel=0.05)
        assert float(stats[name]["50%"]) == pytest.approx(
            result["latency_ms"]["p50"], abs=0.11, rel=0.06
        )  # a tenth below 10 ms
        assert float(stats[name]["Min Response Time"]) < 10
    assert float(stats["connect"]["Average Content Size"]) == 0
    assert int(stats["connect"]["Failure Count"]) == 0


def test_request_listeners_get_connects_and_deliveries_without_double_counting(started, tmp_path):
    told, locustfile = tmp_path / "told.json", tmp_path / "listener.py"
    locustfile.write_text(LISTENER.replace("TOLD", repr(str(told))))
    run = started.locust(
        "-f", locustfile, "-u", "4", "-r", "4", "-t", "5s", "--csv", tmp_path / "stats", env={"PYTHONPATH": str(ROOT)}
    )
    assert run.wait() == 0, run.text
    result = started.result()
    heard = json.loads(told.read_text())
    assert {name: (one["count"], one["failures"]) for name, one in heard.items()} == {
        "SSE connect": (4, 0),
        "SSE delivery": (result["deliveries"], 0),
    }
    assert heard["SSE delivery"]["bytes"] == pytest.approx(result["deliveries"] * result["event_bytes"], rel=0.05)
    assert heard["SSE delivery"]["fractions"] > 0.9 * result["deliveries"]
    counts = {name: int(row["Request Count"]) for name, row in rows(tmp_path / "stats_stats.csv").items()}
    assert counts == {"connect": 4, "delivery": result["deliveries"], "Aggregated": result["deliveries"]}


def test_a_failure_to_connect_is_counted_once(tmp_path):
    with swarm(tmp_path, "http://127.0.0.1:1") as started:
        run = started.locust("-u", "1", "-r", "1", "-t", "4s", "--csv", tmp_path / "stats")
        assert run.wait() == 1
        connect = rows(tmp_path / "stats_stats.csv")["connect"]
        assert (
            int(connect["Request Count"]) == int(connect["Failure Count"]) == sum(started.result()["refused"].values())
        )


def test_deliveries_without_a_time_are_entered_by_their_gaps(tmp_path):
    with Service() as service, swarm(tmp_path, f"http://127.0.0.1:{service.port}") as started:
        run = started.locust("-u", "1", "-r", "1", "--path", "/events/{topic}", "--csv", tmp_path / "stats")
        started.wait_status("deliveries", EVENTS)
        run.end()
        assert run.wait() == 0, run.text
        result = started.result()
    stats = rows(tmp_path / "stats_stats.csv")
    counts = {name: int(row["Request Count"]) for name, row in stats.items()}
    assert counts == {"connect": 1, "first event": 1, "gap between events": EVENTS - 1, "Aggregated": EVENTS}
    gaps = result["streams"]["gap_ms"]
    for name in ("gap between events", "Aggregated"):
        assert float(stats[name]["Max Response Time"]) == pytest.approx(gaps["max"], abs=0.6, rel=0.06)
    first = result["streams"]["first_event_ms"]["p50"]
    assert float(stats["first event"]["Average Response Time"]) == pytest.approx(first, abs=0.1, rel=0.01)


def test_a_test_that_cannot_begin_says_why_and_shows_no_figures(tmp_path):
    with Service() as service, swarm(tmp_path, f"http://127.0.0.1:{service.port}") as started:
        run = started.locust("-u", "1", "-r", "1", "--path", "/events/{topic}", "--tokens", tmp_path / "none")
        assert run.wait() == 2
        assert "none': No such file or directory; give a file with one token per line" in run.text
        assert "deliveries" not in run.text
