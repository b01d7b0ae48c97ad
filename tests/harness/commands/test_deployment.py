"""fanbench with real replicas and load workers that it did not start, behind nginx, and two brokers by URL."""

import csv
import json
import re
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from brokers.contenders import find_contender
from brokers.programs.catalogue import program_of
from brokers.programs.namespaces import NodeNetworks, why_not
from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.contracts.load_status import LoadStatus
from core.ports import free_port
from core.process import spawn
from harness.runner.processes import Children
from tests.harness.command import Started, fanbench
from tests.harness.own_deployment import Host, OwnDeployment
from tests.missing import missing
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(400)  # real programs on two cores that other tests share
SMALL = ("-s", "smoke", "--clients", 40, "--duration", 3, "--rounds", 1, "--repeats", 0)


@pytest.fixture(scope="module")
def brokers(integration, tmp_path_factory):
    """The URLs of two running brokers, valkey and nats."""
    folder = tmp_path_factory.mktemp("brokers")
    with ExitStack() as stack:
        yield [stack.enter_context(find_contender(name).launched(folder / name)).url for name in ("valkey", "nats")]


@pytest.fixture
def own(integration, tmp_path):
    """A deployment whose replicas the command will start."""
    deployment = OwnDeployment(tmp_path)
    try:
        yield deployment
    finally:
        deployment.close()


@pytest.mark.soak
def test_brokers_replicas_and_workers_run_on_separate_hosts(integration, tmp_path):
    """Ten network namespaces on a bridge, nginx in one of them; fanbench and Locust's master run on this machine."""
    if (reason := why_not()) is not None:
        missing(reason)
    nats = program_of("nats", "auto").find() or missing("nats-server is not installed; run `make setup`")
    networks = NodeNetworks(10, tmp_path)
    children = Children()
    try:
        addresses = networks.addresses(10)
        hosts = [Host(address.rpartition(":")[0], tuple(networks.enter(address))) for address in addresses]
        broker, queue, proxy, *rest = hosts
        words = ["redis-server", "--bind", broker.address, "--port", "6379", "--save", "", "--protected-mode", "no"]
        children.add(spawn("redis", [*broker.enter, *words], tmp_path / "redis.log", cwd=tmp_path))
        children.add(spawn("nats", [*queue.enter, nats, "-a", queue.address, "-p", "4222"], tmp_path / "nats.log"))
        here = f"{broker.address.rpartition('.')[0]}.1"
        own = OwnDeployment(tmp_path, rest[:2], rest[2:5], here, proxy)
        try:
            urls = [f"redis://{broker.address}:6379", f"nats://{queue.address}:4222"]
            own.start_workers()
            own.start_generators(rest[5:])
            own.restart({"FANBENCH_BROKER_URL": urls[0]})  # nginx waits for one
            own.start_proxy()
            options = [*own.options, *own.generator_options]
            small = ("--clients", 300, "--topics", 4, "--rate", 80, "--duration", 5, "--rounds", 2)
            words = ["compare", *urls, *small, *options, "--out", tmp_path / "out", "--json"]
            done = fanbench(*words, timeout_s=380, env=own.join_environment)
            answer = json.loads(done.stdout)
            totals = {path: own.counts(report.stream) for path, report in reports_of(answer["folder"]).items()}
        finally:
            own.close()
    finally:
        children.stop()
        networks.close()
    assert answer["complete"], done.stderr
    assert any(run["valid"] for run in answer["runs"]), answer
    for run in answer["runs"]:
        assert run["delivered"] == run["expected"] > 0, run
    published = {path: sum(report.measured().values()) for path, report in reports_of(answer["folder"]).items()}
    assert totals == {path: [count] * 2 for path, count in published.items()}, "each replica got what was published"
    told = [(int(row["published"]), int(row["expected"])) for row in rows_of(answer["folder"])]
    assert sorted(told) == sorted((count, count * 300 // 4) for count in published.values())


def reports_of(folder):
    """The generator's report of each run."""
    return {path: read(GeneratorReport, path) for path in Path(folder).rglob("generator.report.json")}


def rows_of(folder):
    with (Path(folder) / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_brokers_are_compared_on_the_users_replicas_and_workers(brokers, own, tmp_path):
    own.start_workers()
    own.restart({"FANBENCH_BROKER_URL": brokers[0]})  # nginx waits for one
    own.start_proxy()
    deploy = f"{own.deploy}; echo $FANBENCH_BROKER_URL $FANBENCH_DELIVERY >> {tmp_path}/told"
    options = [*own.options[:-1], deploy]
    done = fanbench("compare", *brokers, *SMALL, *options, "--out", tmp_path / "out", "--json", timeout_s=380)
    answer = json.loads(done.stdout)
    assert len(answer["runs"]) == 2, done.stderr
    assert sorted((tmp_path / "told").read_text().split()) == sorted([*brokers, *["at-most-once"] * 2])
    for run in answer["runs"]:
        assert run["delivered"] == run["expected"] > 0, run
    for row in rows_of(answer["folder"]):
        assert int(row["expected"]) == int(row["published"]) * 40
        assert row["not_watched"] == "broker others"
        assert row["broker_cpu_s"] == row["broker_rss_mb"] == row["broker_core"] == ""
        assert "others_cores" not in row
        assert all(row[figure] for figure in ("server_cpu_s", "server_rss_mb", "load_cpu_s", "generator_cpu_s"))
        assert "busy" not in row["problems"]
    reports = [read(GeneratorReport, path) for path in Path(answer["folder"]).rglob("generator.report.json")]
    assert len(reports) == 2
    (last,) = [report for report in reports if report.stream in own.stats()[0].received]
    for stats in own.stats():
        assert stats.received[last.stream]["events"].measure == sum(last.measured().values())
    assert (
        "not watched" in Path(answer["report"]).read_text(encoding="utf-8").lower()
    )  # in the table or, if all runs were refused, in a sentence


@pytest.mark.soak
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (signal.SIGKILL, " ended without its totals: "),
        # It hands its totals over, and what its clients miss while they move would count as the broker's losses.
        (signal.SIGTERM, " ended while the run measured; "),
    ],
)
def test_a_worker_that_ends_in_the_middle_is_named_and_the_run_refused(brokers, own, tmp_path, how, words):
    valkey = {"FANBENCH_BROKER_URL": brokers[0], "FANBENCH_DELIVERY": "at-most-once"}
    own.restart(valkey)
    own.start_proxy()
    own.start_workers()
    out, log = tmp_path / "out", tmp_path / "terminal"
    # Without --deploy: the replicas have the broker.
    command = ["compare", brokers[0], *SMALL, "--duration", 6, *own.options[:-2], "--out", out]
    started = Started(*command, log=log)
    try:

        def delivering() -> bool:
            assert started.process.poll() is None, log.read_text()
            told = [read(LoadStatus, path) for path in out.rglob("load.status.json")]
            return any(one is not None and one.deliveries > 40 and len(one.workers) == 2 for one in told)

        wait_until(delivering, "deliveries", 120)
        victim: psutil.Process = own.worker()
        victim.send_signal(how)
        wait_until(lambda: started.process.poll() is not None, "the end of fanbench", 200)
    finally:
        started.close()
    assert started.process.returncode == 1
    (row,) = rows_of(next(out.glob("*-smoke")))
    assert row["valid"] == "false"
    assert row["problems"].count(words) == 1, row["problems"]
    assert re.search(rf"\bworker \S+_[0-9a-f]+{words}", row["problems"]), row["problems"]
    assert int(row["delivered"]) + int(row["lost"]) == int(row["expected"]) == int(row["published"]) * 40


def test_a_failed_command_is_reported_with_its_exit_code_and_last_line(brokers, own, tmp_path):
    words = ["--replicas-at", f"http://127.0.0.1:{free_port()}", "--deploy", "echo no such pod >&2; exit 3"]
    port = int(brokers[0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"ACL SETUSER probe on >m4rked-s3cret ~* &* +@all\r\n")
        assert sock.recv(100) == b"+OK\r\n"
    secret = brokers[0].replace("redis://", "redis://probe:m4rked-s3cret@")
    words[-1] = f"echo set $FANBENCH_BROKER_URL; {words[-1]}"
    done = fanbench("compare", secret, *SMALL, *words, "--out", tmp_path / "out", timeout_s=100)
    assert done.returncode == 1
    assert "--deploy: the command ended with exit code 3: no such pod; " in " ".join(done.stdout.split())
    written = [path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert "m4rked-s3cret" not in "".join([done.stdout, done.stderr, *written])


@pytest.mark.soak
@pytest.mark.parametrize("joined", [False, True], ids=["published-here", "published-by-generators-that-join"])
def test_the_hop_to_the_users_replicas_is_counted_and_timed_there(brokers, own, joined):
    words = [
        "hop",
        *brokers,
        "--replicas-at",
        ",".join(own.urls),
        "--deploy",
        own.deploy,
        "--rate",
        200,
        "--duration",
        1,
    ]
    if joined:
        own.start_generators()
        words += [*own.generator_options, "--run-name", "mine", "--topics", 3]
    done = fanbench(*words, "--json", timeout_s=200, env=own.join_environment)
    rows = json.loads(done.stdout)
    assert [row["contender"] for row in rows] == brokers, done.stderr
    for row in rows:
        assert row["lost"] == 0
        assert row["messages"] == 2 * 200
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert row["client_us"] > 0
        assert row["broker_us"] is None


@pytest.mark.soak
def test_clients_are_cut_and_the_users_command_breaks_the_rest(brokers, own, tmp_path):
    own.restart({"FANBENCH_BROKER_URL": brokers[1], "FANBENCH_DELIVERY": "at-most-once"})
    own.start_proxy()
    own.start_workers()
    own_words = ["--break", f"touch {tmp_path}/broken", "--mend", f"mv {tmp_path}/broken {tmp_path}/mended"]
    small = ["--clients", 40, "--duration", 2, "--at", 0.2, "--for", 0.5, "--rate", 20]
    done = fanbench(
        "faults", brokers[1], *small, *own.options[:-2], *own_words, "--fault", "clients-cut", "--fault", "deployment-break",
        "--fault", "broker-kill", "--out", tmp_path / "out", "--json", timeout_s=300,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert "skipped: broker-kill: fanbench cannot break brokers, links and replicas" in " ".join(done.stderr.split())
    assert {run["fault"] for run in answer["runs"]} == {"clients-cut", "deployment-break"}
    by_fault = {run["fault"]: run for run in answer["runs"]}
    assert by_fault["clients-cut"]["reconnects"] >= 40, by_fault
    assert (tmp_path / "mended").exists()
    for run in answer["runs"]:
        assert run["delivered"] + run["lost"] == run["expected"] > 0
