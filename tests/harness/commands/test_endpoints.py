"""`fanbench compare --endpoint`: measures another SSE service together with replicas."""

import csv
import json
from pathlib import Path

import pytest
import trustme

from brokers.endpoint_contenders import endpoint_contender
from brokers.programs.catalogue import SERVICES
from brokers.programs.nchan import nchan
from brokers.programs.script_hub import sse_starlette
from core.errors import UsageError
from core.ports import free_port
from core.process import spawn
from harness.commands.options import require_endpoints_here
from harness.results.load import load_results
from harness.runner.proxy import find_nginx
from tests.harness.command import fanbench
from tests.missing import missing
from tests.waiting import wait_until

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


def compared(folder, *words, timeout_s=280):
    """The rows of summary.csv by contender, and the result directory."""
    done = fanbench("compare", *words, *WORKLOAD, "--repeats", 0, "--out", folder, "--json", timeout_s=timeout_s)
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
def test_nchan_is_measured_with_replicas_in_one_report(tmp_path):
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


NGINX = """
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        keepalive_requests 100000;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        ssl_client_certificate {folder}/ca.pem;
        ssl_verify_client on;
        location / {{ proxy_pass http://{hub}; proxy_http_version 1.1; proxy_buffering off; }}
    }}
}}
"""


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(600)
def test_a_service_behind_tls_that_wants_a_certificate_is_measured(tmp_path):
    nginx = find_nginx() or missing("nginx is not installed; run `make brokers`")
    require_here(sse_starlette)
    folder, port = tmp_path / "tls", free_port()
    folder.mkdir()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("hub.test").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    ca.issue_cert("me@hub.test").private_key_and_cert_chain_pem.write_to_path(folder / "me.pem")
    own = folder / "own.toml"
    own.write_text(
        f'[endpoint]\ndialect = "sse-starlette"\nurl = "https://127.0.0.1:{port}"\nca_file = "ca.pem"\nsni = "hub.test"\n'
        'client_cert = "me.pem"\npath = "/sse?topic={topic}"\npublish = "POST /publish?topic={topic}"\n'
    )
    with sse_starlette.start(tmp_path / "hub") as hub:
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, hub=hub.listeners["http"]))
        command = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
        proxy = spawn("nginx", command, folder / "nginx.log")
        try:
            wait_until((folder / "nginx.pid").exists, "nginx to begin", 20)
            rows, _ = compared(tmp_path, "memory", "--endpoint", own)
        finally:
            proxy.stop()
    assert int(rows["own"]["delivered"]) == int(rows["own"]["expected"]) == 100, rows["own"]["problems"]


@pytest.mark.soak
@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(900)
def test_every_service_that_can_be_installed_is_measured(tmp_path):
    here = [name for name, program in SERVICES.items() if program.find() is not None]
    rows, _ = compared(tmp_path, "memory", *(word for name in here for word in ("--endpoint", name)), timeout_s=800)
    for name in here:
        assert_measured(rows[endpoint_contender(name).name])
    if absent := sorted(SERVICES.keys() - here):
        missing(f"{', '.join(absent)} not here: make hubs")


@pytest.mark.parametrize(
    ("replicas_at", "transports", "says"),
    [
        ("http://10.0.0.1:8000", ("sse",), "--endpoint nchan and --replicas-at: .*leave one of them out"),
        ("", ("sse", "ws"), "--endpoint nchan and --transport sse,ws: .*leave --transport out"),
    ],
)
def test_options_that_contradict_an_endpoint_are_refused(replicas_at, transports, says):
    with pytest.raises(UsageError, match=says):
        require_endpoints_here(["nchan"], replicas_at, transports)


def test_without_endpoints_everything_goes():
    assert require_endpoints_here([], "http://10.0.0.1:8000", ("ws",)) == []
