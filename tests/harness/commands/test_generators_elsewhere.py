"""fanbench with generators that run elsewhere and share the topics: one report, its totals at the replicas, and a lost one named."""

import csv
import json
import signal
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from core.contracts.codec import read, write
from core.contracts.generator_report import GeneratorReport
from core.contracts.generator_status import GeneratorStatus
from core.contracts.load_status import LoadStatus
from core.errors import TransientError
from core.process import spawn
from harness.runner.deployment import Deployment
from harness.runner.set_up_elsewhere import generators_status, wait_for_generators
from tests.harness.command import Started, fanbench
from tests.harness.own_deployment import HERE, OwnDeployment
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(400)  # real programs on two cores that other tests share
SMALL = ("-s", "smoke", "--clients", 20, "--topics", 4, "--rate", 40, "--duration", 2, "--rounds", 1, "--repeats", 0)


@pytest.fixture
def own(integration, tmp_path):
    """A deployment with two generators, and its broker's URL."""
    deployment = OwnDeployment(tmp_path)
    try:
        with find_contender("valkey").launched(tmp_path / "broker") as broker:
            deployment.start_generators()
            deployment.start_workers()
            yield deployment, broker.url
    finally:
        deployment.close()


def without_proxy(options):
    """Clients connect to the replicas themselves."""
    at = options.index("--clients-at")
    return [*options[:at], *options[at + 2 :]]


@pytest.mark.soak
def test_two_generators_publish_what_the_clients_get(own, tmp_path):
    deployment, url = own
    options = [*without_proxy(deployment.options), *deployment.generator_options]
    words = ["compare", url, *SMALL, *options, "--out", tmp_path / "out", "--json"]
    done = fanbench(*words, timeout_s=380, env=deployment.join_environment)
    answer = json.loads(done.stdout)
    (run,) = answer["runs"]
    assert run["delivered"] == run["expected"] > 0, (run, done.stderr)
    (report,) = [read(GeneratorReport, path) for path in Path(answer["folder"]).rglob("generator.report.json")]
    assert {topic: counts.measure for topic, counts in report.published.items()} == dict.fromkeys(
        (f"room-{number}" for number in range(4)), 20
    )
    for stats in deployment.stats():
        assert sum(counts.measure for counts in stats.received[report.stream].values()) == sum(
            report.measured().values()
        )
    with (Path(answer["folder"]) / "summary.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["not_watched"] == "broker others"
    assert float(row["generator_cpu_s"]) > 0
    assert float(row["generator_rss_mb"]) > 60  # three processes
    secret = deployment.join_environment["FANBENCH_JOIN_SECRET"].encode()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(secret in data for data in (*written, done.stdout.encode(), done.stderr.encode()))


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (
            None,
            "0 of 2 generators joined at 127.0.0.1:5560 within 0.2 s: start the others with `FANBENCH_RUN_NAME=mine ",
        ),
        (GeneratorStatus(joined=1, connected=1), "1 of 2 generators joined at 127.0.0.1:5560"),
        (GeneratorStatus(joined=2, connected=1), "1 of 2 generators reached the broker within 0.2 s"),
    ],
)
@pytest.mark.usefixtures("integration")
def test_generators_that_are_missing_are_told(tmp_path, there, words):
    if there is not None:
        write(there, generators_status(tmp_path))
    urls = ("http://a:8000",)
    deployment = Deployment(urls, urls, 1, "127.0.0.1", 5557, run_name="mine", generators=2)
    conductor = spawn("generator", ["sleep", "600"], tmp_path / "generator.log")
    try:
        with pytest.raises(TransientError, match=words):
            wait_for_generators(conductor, tmp_path, deployment, timeout_s=0.2)
    finally:
        conductor.kill()


@pytest.mark.soak
def test_a_generator_that_is_killed_in_the_middle_is_named_and_the_run_refused(own, tmp_path, monkeypatch):
    deployment, url = own
    options = [*without_proxy(deployment.options), *deployment.generator_options]
    out, log = tmp_path / "out", tmp_path / "terminal"
    monkeypatch.setenv("FANBENCH_JOIN_SECRET", deployment.join_environment["FANBENCH_JOIN_SECRET"])
    started = Started("compare", url, *SMALL, "--duration", 8, *options, "--out", out, log=log)
    try:

        def delivering() -> bool:
            assert started.process.poll() is None, log.read_text()
            told = [read(LoadStatus, path) for path in out.rglob("load.status.json")]
            return any(one is not None and one.deliveries > 20 for one in told)

        wait_until(delivering, "deliveries", 120)
        deployment.generators[0].send_signal(signal.SIGKILL)
        deployment.start_generators([HERE])  # a further run does not lack one
        wait_until(lambda: started.process.poll() is not None, "the end of fanbench", 200)
    finally:
        started.close()
    assert started.process.returncode == 1
    assert f" {deployment.generators[0].pid} at 127.0.0.1:" in log.read_text().replace("\n", " ")
