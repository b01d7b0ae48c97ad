"""`fanbench compare --endpoint`: measures another SSE service together with replicas."""

import csv
import json
from pathlib import Path

import pytest

from brokers.programs.nchan import nchan
from brokers.programs.script_hub import sse_starlette
from core.errors import UsageError
from harness.commands.options import require_endpoints_here
from harness.results.load import load_results
from tests.harness.command import fanbench
from tests.missing import missing

WORKLOAD = [
    "--clients",
    5,
    "--replicas",
    1,
    "--rate",
    20,
    "--duration",
    2,
    "--warmup",
    0.3,
    "--topics",
    "a,b",
    "--rounds",
    1,
]


def compared(folder, *words):
    """The rows of summary.csv by contender, and the result directory."""
    done = fanbench("compare", *words, *WORKLOAD, "--repeats", 0, "--out", folder, "--json", timeout_s=280)
    assert done.stdout, done.stderr
    answer = json.loads(done.stdout)
    assert answer["complete"], done.stderr
    path = Path(answer["folder"])
    with (path / "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["contender"]: row for row in csv.DictReader(file)}, path


def require_here(program):
    if program.find() is None:
        missing(f"{program.name} is not here: {program.install_hint}")


def assert_measured(row):
    """Every delivery is accounted for, and what only replicas report is absent.

    The run may be refused because of the machine.
    """
    assert int(row["expected"]) == int(row["delivered"]) == 100, row["problems"]
    assert (row["lost"], row["duplicated"], row["reordered"]) == ("0", "0", "0")
    assert float(row["p99_ms"]) >= float(row["p90_ms"]) >= float(row["p50_ms"]) > 0
    assert float(row["server_cpu_s"]) > 0
    assert float(row["server_rss_mb"]) > 1
    absent = ("replicas", "gaps", "broker_p50_ms", "fanout_p50_ms", "broker_cpu_s", "lost_slow_client", "not_watched")
    assert [row[name] for name in absent] == [""] * len(absent)


@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(300)
def test_nchan_is_measured_beside_replicas_in_one_report(tmp_path):
    require_here(nchan)
    rows, folder = compared(tmp_path, "memory", "--endpoint", "nchan")
    assert set(rows) == {"memory", "nchan"}
    assert_measured(rows["nchan"])
    assert rows["memory"]["broker_p50_ms"]
    assert load_results(folder).versions["nchan"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "nchan is a service that streams the events itself" in page


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(600)
def test_a_service_in_python_and_one_at_a_url_are_measured(tmp_path):
    require_here(sse_starlette)
    with sse_starlette.start(tmp_path / "hub") as running:
        own = tmp_path / "own.toml"
        own.write_text(
            f'[endpoint]\ndialect = "sse-starlette"\nurl = "http://{running.listeners["http"]}"\n'
            'path = "/sse?topic={topic}"\npublish = "POST /publish?topic={topic}"\n'
        )
        rows, _ = compared(tmp_path, "memory", "--endpoint", "sse-starlette", "--endpoint", own)
    assert set(rows) == {"memory", "sse-starlette-hub", "own"}
    assert_measured(rows["sse-starlette-hub"])
    assert int(rows["own"]["delivered"]) == 100, rows["own"]["problems"]
    assert (rows["own"]["server_cpu_s"], rows["own"]["not_watched"]) == ("", "server others")


@pytest.mark.parametrize(
    ("replicas_at", "transports", "says"),
    [
        ("http://10.0.0.1:8000", ("sse",), "--endpoint nchan and --replicas-at: .*leave one of them out"),
        ("", ("sse", "ws"), "--endpoint nchan and --transport sse,ws: .*leave --transport out"),
    ],
)
def test_what_does_not_go_with_an_endpoint_is_refused(replicas_at, transports, says):
    with pytest.raises(UsageError, match=says):
        require_endpoints_here(["nchan"], replicas_at, transports)


def test_without_endpoints_everything_goes():
    assert require_endpoints_here([], "http://10.0.0.1:8000", ("ws",)) == []
