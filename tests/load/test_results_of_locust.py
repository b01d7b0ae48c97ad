"""The effect of Locust's options and the user's paths on the result: resets, shapes, warm-up, files, JSON, thresholds."""

import json
import os
import signal
import time
import urllib.request

import pytest

from core.contracts.load_status import LoadStatus
from core.errors import UsageError
from core.histogram import Histogram
from core.ports import free_port
from load.document_files import regular_file, write_document
from load.thresholds import figure_names, parse_thresholds
from tests.load.swarm import START_S, swarm
from tests.server.program import running
from tests.truth.measuring import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    with running(tmp_path_factory.mktemp("replica"), broker_url="memory://", rate_hz=50) as one:
        yield one


@pytest.fixture
def started(tmp_path, replica):
    with swarm(tmp_path, f"http://127.0.0.1:{replica.port}") as one:
        yield one


def test_a_shape_is_compared_with_its_last_step(started, tmp_path):
    locustfile = tmp_path / "shape.py"
    locustfile.write_text(
        "from locust import LoadTestShape\nfrom load.sse import SSEClient\n"
        "class Steps(LoadTestShape):\n    def tick(self):\n"
        "        t = self.get_run_time()\n        return (12, 12) if t < 4 else (5, 12) if t < 9 else None\n"
    )
    run = started.locust("-f", locustfile, env={"PYTHONPATH": str(ROOT)})
    assert run.wait() == 0, run.text
    result = started.result()
    assert [result[name] for name in ("asked", "users", "clients", "connected", "left")] == [5, 5, 5, 5, 7]
    assert (result["lost"], result["problems"]) == (0, [])


@pytest.mark.parametrize("processes", [[], ["--processes", "2"]], ids=["one process", "processes"])
@pytest.mark.parametrize("option", [["--warmup", "1"], ["--reset-stats"]], ids=["warm-up", "reset"])
def test_the_ramp_is_left_out(started, option, processes):
    ports = ["--master-bind-port", str(started.port), "--master-port", str(started.port)] if processes else []
    run = started.locust("-u", "12", "-r", "3", *option, *processes, *ports)
    if option == ["--reset-stats"]:
        wait_reset(started)
    started.wait_status("reached", 12)
    started.wait_status("deliveries", 300)
    run.end()
    assert run.wait() == 0, run.text
    result = started.result()
    # If the four-second ramp had counted, most clients would lack events; each has all that count.
    assert result["deliveries"] == 12 * result["events"] - result["lost"]
    assert (result["lost"], result["received"]) == (0, result["deliveries"])


def wait_reset(started):
    """Wait until the count of deliveries has restarted and is not 0."""
    most = 0

    def fell():
        nonlocal most
        now = started.status().get("deliveries", 0)
        most = max(most, now)
        return now < most

    wait_until(fell, "deliveries to be counted anew", START_S)
    started.wait_status("deliveries", 300)


def test_the_source_of_the_page_has_no_token(started):
    web_port = free_port()
    page = ["--web-host", "127.0.0.1", "--web-port", str(web_port)]
    started.locust("-u", "3", "-r", "3", "--autostart", "--token", "s3cret-t0ken", *page, headless=False)
    started.wait_status("reached", 3)
    for path in ("/", "/stats/report"):
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}{path}", timeout=START_S) as answer:
            assert b"s3cret-t0ken" not in answer.read()


def test_a_reset_that_reaches_one_worker_late_counts_the_same_events_at_all(started, replica):
    web_port = free_port()
    run = started.processes(2, 12, "--autostart", "--web-port", str(web_port), headless=False)
    started.wait_status("reached", 12)
    started.wait_status("deliveries", 3000)
    late = run.forks()[0]
    late.send_signal(signal.SIGSTOP)
    urllib.request.urlopen(f"http://127.0.0.1:{web_port}/stats/reset", data=b"", timeout=START_S).close()
    written = replica.stats().delivered  # the worker is delayed past the ordered instant
    wait_until(lambda: replica.stats().delivered > written + 12 * 50, "a second of events", START_S)
    late.send_signal(signal.SIGCONT)
    started.wait_status("deliveries", 1000)  # more than the other had counted, so both have started again
    run.end()
    assert run.wait() == 0, run.text
    result = json.loads(next(started.folder.glob("out-*.json")).read_text())
    assert result["deliveries"] == result["received"] == 12 * result["events"]
    assert (result["lost"], result["duplicated"], result["problems"]) == (0, 0, [])


def test_an_end_that_reaches_one_worker_late_counts_the_same_events_at_all(started, replica):
    run = started.processes(2, 12, "--warmup", "1")
    started.wait_status("reached", 12)
    started.wait_status("deliveries", 300)
    late = run.forks()[0]
    late.send_signal(signal.SIGSTOP)
    run.end()
    written = replica.stats().delivered
    wait_until(lambda: replica.stats().delivered > written + 12 * 50, "a second of events", START_S)
    late.send_signal(signal.SIGCONT)
    assert run.wait() == 0, run.text
    result = started.result()
    assert (result["lost"], result["duplicated"], result["problems"]) == (0, 0, [])
    assert result["deliveries"] == result["received"] == 12 * result["events"]
    assert Histogram.decode(result["histograms"]["latency"]).count == result["deliveries"]


def test_a_link_is_written_through_and_a_device_is_refused(started, tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("{}")
    link.symlink_to(target)
    run = started.locust("-u", "3", "-r", "3", "-t", "4s", "--out", link)
    assert run.wait() == 0, run.text
    assert link.is_symlink()
    assert json.loads(target.read_text())["clients"] == 3
    refused = started.locust("-u", "3", "-t", "3s", "--out", "/dev/full")
    assert refused.wait() == 2
    assert "--out '/dev/full': it is not a regular file" in refused.text


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("-", "standard output has the summary"),
        (".", "it is a directory"),
        ("/nowhere/o", "does not exist"),
        ("x" * 256, "File name too long"),
    ],
)
def test_a_path_that_is_not_a_file_is_refused(started, out, words):
    refused = started.locust("-u", "3", "-t", "3s", "--out", out)
    assert refused.wait() == 2
    assert f"fanbench: --out '{out}'" in refused.text
    assert words in refused.text


def test_a_cycle_of_links_is_refused_and_a_long_name_is_written(tmp_path):
    around = tmp_path / "around"
    around.symlink_to(around)
    with pytest.raises(ValueError, match="give another path"):
        regular_file(around)
    long = tmp_path / ("x" * 255)
    write_document(LoadStatus(clients=3), long)
    assert json.loads(long.read_text())["clients"] == 3
    assert {*tmp_path.iterdir()} == {around, long}


def test_workers_that_never_come_leave_a_result_that_says_so(started):
    started.out.write_text("{}")  # of an earlier run
    run = started.master(5, "--expect-workers", "2", "--expect-workers-max-wait", "1", "-t", "5s")
    assert run.wait() == 1
    assert started.result()["problems"][0] == "no test began; the log says why"
    assert started.result()["asked"] == 5


def test_a_replica_that_is_not_ready_in_time_leaves_a_result_that_says_so(tmp_path):
    with swarm(tmp_path, "http://127.0.0.1:1") as alone:
        assert alone.locust("-u", "3", "-t", "3s", "--wait", "0.5").wait() == 1
        assert "http://127.0.0.1:1 is not ready after 0.5 s" in alone.result()["problems"][0]


def test_no_clients_is_a_failure(started):
    run = started.locust("-u", "0", "-t", "3s")
    assert run.wait() == 1
    assert started.result()["problems"] == ["no clients were requested; give their number, such as -u 100"]


def test_a_result_that_cannot_be_written_is_exit_code_1_and_leaves_no_part(started, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "out.json"
    run = started.locust("-u", "3", "-r", "3", "--out", out)
    started.wait_status("deliveries", 10)
    out.mkdir()  # this is no longer a file's path
    run.end()
    assert run.wait() == 1
    assert f"cannot write {out}: it is a directory" in run.text
    assert list(folder.iterdir()) == [out]


def test_json_is_alone_on_standard_output_in_any_locale(started):
    import subprocess
    import sys

    command = [sys.executable, "-m", "load", "--headless", "--host", started.url, "-u", "3", "-r", "3", "-t", "4s"]
    done = subprocess.run(
        [*command, "--json", "--processes", "2", "--master-bind-port", str(started.port), "--master-port", str(started.port)],
        cwd=ROOT, capture_output=True, timeout=60, env=os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {entry["name"] for entry in json.loads(done.stdout)} == {"connect", "delivery"}
    assert b"deliveries/s" in done.stderr


@pytest.mark.parametrize(("limit", "code"), [("p99_ms>60000,lost>0", 0), ("deliveries>1", 1)])
def test_a_threshold_makes_the_run_a_gate(started, limit, code):
    run = started.locust("-u", "3", "-r", "3", "-t", "4s", "--fail-if", "duplicated>0", "--fail-if", limit)
    assert run.wait() == code, run.text
    assert len(started.result()["breaches"]) == code


@pytest.mark.parametrize("text", ["p99_ms", "p99_ms>fast", "p98_ms>1", "lost=0"])
def test_a_threshold_that_cannot_be_read_is_refused(text):
    with pytest.raises(UsageError, match=r"--fail-if"):
        parse_thresholds([text])


def test_every_figure_is_documented():
    page = (ROOT / "docs" / "load.md").read_text()
    assert all(f"`{name}`" in page for name in figure_names() if "_" not in name)


def test_a_ramp_with_workers_is_as_smooth_as_with_one_process(replica, tmp_path):
    """Locust built a parser for each option of each spawn message: workers stood still for 100 ms of every second."""

    def p99_ms(*processes):
        folder = tmp_path / f"{len(processes)}-{time.monotonic_ns()}"
        folder.mkdir()
        with swarm(folder, f"http://127.0.0.1:{replica.port}") as one:
            ports = ["--master-bind-port", str(one.port), "--master-port", str(one.port)] if processes else []
            run = one.locust("-u", "60", "-r", "10", "-t", "8s", *processes, *ports)
            run.wait()
            return one.result()["hops_ms"]["fanout"]["p99"]

    tries = []
    for _ in range(4):
        tries.append(p99_ms("--processes", "2") / p99_ms())
        if tries[-1] <= 2:
            return
    raise AssertionError(f"p99 with two processes over that of one: {tries}")
