"""`fanbench compare` on real brokers, replicas and Locust: what it stores, and what it leaves behind."""

import contextlib
import csv
import json
import signal
import subprocess

import pytest

from core.contracts.codec import read
from core.contracts.load_status import LoadStatus
from tests.harness.command import Started, command_line, fanbench
from tests.waiting import wait_until

COLUMNS = [
    "contender",
    "round",
    "delivery",
    "clients",
    "replicas",
    "rate_hz",
    "published",
    "expected",
    "delivered",
    "lost",
    "duplicated",
    "reordered",
    "gaps",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "schedule_p99_ms",
    "broker_p50_ms",
    "broker_p99_ms",
    "fanout_p50_ms",
    "fanout_p99_ms",
    "broker_cpu_s",
    "server_cpu_s",
    "generator_cpu_s",
    "load_cpu_s",
    "broker_rss_mb",
    "server_rss_mb",
    "valid",
    "problems",
]


def rows_of(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def only_folder(parent):
    (folder,) = parent.iterdir()
    return folder


pytestmark = pytest.mark.timeout(300)  # real programs on two cores that other tests share


@pytest.fixture(scope="module")
def smoke(integration, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    done = fanbench(
        "compare",
        "memory",
        "valkey",
        "-s",
        "smoke",
        "--rounds",
        1,
        "--repeats",
        0,
        "--out",
        out,
        "--json",
        timeout_s=280,
    )
    return done, json.loads(done.stdout), only_folder(out)


def test_every_delivery_is_accounted_for(smoke):
    done, answer, folder = smoke
    assert answer["complete"], done.stderr
    rows = rows_of(folder)
    assert sorted(row["contender"] for row in rows) == ["memory", "valkey"]
    for row in rows:
        # 50 clients x 2 s x 20 events/s
        assert (int(row["expected"]), int(row["delivered"]), int(row["lost"])) == (2000, 2000, 0), done.stderr
        assert int(row["duplicated"]) == int(row["reordered"]) == int(row["gaps"]) == 0
        assert 0 < float(row["p50_ms"]) <= float(row["p99_ms"]) <= float(row["max_ms"])
        assert float(row["server_cpu_s"]) > 0
        assert float(row["load_cpu_s"]) > 0


def test_the_columns_are_the_contract(smoke):
    header = (smoke[2] / "summary.csv").read_text().splitlines()[0].split(",")
    assert header[: len(COLUMNS)] == COLUMNS


def test_the_report_is_there_and_asks_no_other_host(smoke):
    page = (smoke[2] / "report.html").read_text(encoding="utf-8")
    assert "valkey" in page
    assert "memory" in page
    for loads in ('src="http', "src='http", '@import url("http', "<link "):
        assert loads not in page


def test_the_manifest_describes_the_machine(smoke):
    manifest = json.loads((smoke[2] / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["scenario"]["clients"] == 50
    assert "valkey" in manifest["versions"]
    assert {"fastapi", "locust", "redis"} <= set(manifest["libraries"])
    assert set(manifest["fanbench"]) >= {"version"}


@pytest.fixture
def started(integration, tmp_path):
    runs = []

    def start(*words, terminal=False):
        runs.append(Started(*words, log=tmp_path / f"log-{len(runs)}", terminal=terminal))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


def long_run(out):
    return (
        "compare",
        "valkey",
        "-s",
        "smoke",
        "--clients",
        20,
        "--warmup",
        0.2,
        "--duration",
        3,
        "--rounds",
        50,
        "--out",
        out,
    )


@pytest.mark.parametrize(
    "how",
    [
        "Ctrl-C",
        "SIGTERM",
        pytest.param("SIGHUP", marks=pytest.mark.soak),
        pytest.param("the terminal is closed", marks=pytest.mark.soak),
    ],
)
def test_however_it_is_interrupted_it_ends_every_child_and_keeps_the_finished_runs(how, started, tmp_path):
    terminal = how == "the terminal is closed"
    run = started(*long_run(tmp_path / "results"), terminal=terminal)
    wait_until(lambda: run.look() and any(map(rows_of, finished(tmp_path / "results"))), "a finished run", 60)
    run.wait_for_command("load/sse.py")
    run.look()
    match how:
        case "Ctrl-C":
            run.interrupt()
        case "the terminal is closed":
            run.close_terminal()
        case _:
            run.process.send_signal(signal.Signals[how])
    wait_until(lambda: not run.left(), "the end of every child", 5)
    assert run.process.wait(20) == 1
    folder = only_folder(tmp_path / "results")
    assert json.loads((folder / "manifest.json").read_text())["complete"] is False
    assert len(rows_of(folder)) >= 1
    assert (folder / "report.html").exists()
    assert terminal or "interrupted" in run.log.read_text()


def finished(parent):
    return [file.parent for file in parent.glob("*/summary.csv")]


def test_a_full_disk_is_one_line_and_the_finished_runs_are_kept(integration, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no right to mount a small disk; tests/harness/results/test_full_disk.py needs none")
    try:
        words = ("compare", "memory", "-s", "smoke", "--warmup", 0.2, "--duration", 1, "--rounds", 20)
        run = Started(*words, "--out", disk, log=tmp_path / "log")
        try:
            wait_until(lambda: run.look() and any(map(rows_of, finished(disk))), "a finished run", 60)
            filled = disk / "full"
            with contextlib.suppress(OSError), filled.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            assert run.process.wait(120) == 1
        finally:
            run.close()
        filled.unlink()
        told = [line for line in run.log.read_text().splitlines() if line.startswith("fanbench: ")]
        assert len(told) == 1
        assert "No space left on device" in told[0]
        assert "Traceback" not in run.log.read_text()
        (folder,) = disk.iterdir()
        assert folder.name.endswith("-incomplete")
        assert str(folder) in told[0]
        assert fanbench("report", folder).returncode == 0
        assert len(rows_of(folder)) >= 1
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("moment", ["valkey-server", "load/sse.py"])
def test_no_child_remains_after_kill_9(moment, started, tmp_path):
    run = started(*long_run(tmp_path / "results"))
    run.wait_for_command(moment)
    run.look()
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not run.left(), "the end of every child", 5)


def test_a_run_whose_replica_was_stopped_is_refused_and_says_so(started, tmp_path):
    run = started(
        *("compare", "valkey", "-s", "smoke", "--clients", 40, "--warmup", 0.2, "--duration", 6, "--rounds", 1),
        *("--repeats", 0, "--out", tmp_path / "results"),
    )

    def measuring():
        run.look()
        told = [read(LoadStatus, file) for file in tmp_path.rglob("load.status.json")]
        return any(status and status.deliveries > 400 for status in told)

    wait_until(measuring, "events at the clients", 60)
    (replica, *_) = [p for p in run.seen if any(word.endswith("-m server") for word in command_line(p))]
    replica.suspend()
    assert run.process.wait(120) == 1
    (row,) = rows_of(only_folder(tmp_path / "results"))
    assert row["valid"] == "false"
    assert "a replica was stopped for" in row["problems"]
