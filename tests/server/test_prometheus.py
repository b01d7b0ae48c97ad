"""A real Prometheus scrapes a real replica and generator, and answers every expression of the dashboard."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from core.ports import free_ports
from tests.missing import missing
from tests.server.program import Replica, SseClient, running
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def require(name: str) -> str:
    return shutil.which(name) or missing(f"{name} is not installed; `apt install prometheus` brings it")


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        found: bytes = answer.read()
    return found


@pytest.fixture(scope="module")
def scraped(integration: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Replica, int]]:
    """A replica with a companion generator, and the port of the generator's page."""
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("scraped")
    with running(folder, broker_url="memory://", rate_hz=50, metrics_port=port) as replica:
        yield replica, port


@pytest.fixture
def prometheus(scraped: tuple[Replica, int], tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus configured as in compose, except for its targets and interval."""
    replica, generator_port = scraped
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    for job, port in zip(config["scrape_configs"], (replica.port, generator_port), strict=True):
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    command = [require("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def ask(prometheus: str, expression: str) -> list[object]:
    """The result of an instant query."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        answer = json.loads(get(url))
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{expression}: {error.read().decode()}") from error
    except OSError:
        return []
    found: list[object] = answer["data"]["result"]
    return found


def test_it_answers_every_expression_of_the_dashboard(scraped: tuple[Replica, int], prometheus: str) -> None:
    panels = json.loads((DEPLOY / "grafana" / "dashboards" / "fanbench.json").read_text())["panels"]
    with SseClient(scraped[0].port) as client:
        client.take(20)
        for target in (target for panel in panels for target in panel["targets"]):
            expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "15s")
            wait_until(lambda one=expression: ask(prometheus, one), expression, 60, every_s=0.2)  # type: ignore[misc]


def test_promtool_accepts_the_configuration_and_the_metrics_pages(scraped: tuple[Replica, int]) -> None:
    promtool = require("promtool")
    subprocess.run([promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml"], check=True)
    for port in (scraped[0].port, scraped[1]):
        page = get(f"http://127.0.0.1:{port}/metrics")
        done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
        assert (done.returncode, done.stderr.decode()) == (0, "")
