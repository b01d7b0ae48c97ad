"""deploy/nginx and deploy/caddy in front of real replicas: which are skipped, which return, and what is not published."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from brokers.contenders import find_contender
from core.errors import TransientError
from core.host_clock import HostClock
from core.ports import free_ports
from core.process import Child, spawn
from harness.runner.processes import Children, get, poll
from harness.runner.proxy import find_nginx, start_proxy
from tests.compose.demo import ROOT
from tests.missing import missing
from tests.server.program import Publisher, Replica, SseClient, running
from tests.waiting import wait_until

BROWSER = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}


class Site:
    """A proxy in front of two replicas, which a test may end and restart on their ports."""

    def __init__(self, proxy: str, broker_url: str, folder: Path, **settings: object) -> None:
        self.proxy = proxy
        self.port, *self.replica_ports = free_ports(3)
        self._settings = {"broker_url": broker_url, "topic_linger_s": 0, **settings}
        self._folder = folder
        self._lives: dict[int, ExitStack] = {}
        self.replicas: dict[int, Replica] = {}
        self._children = Children()

    def __enter__(self) -> "Site":
        for number in (0, 1):
            self.start(number)
        if self.proxy == "nginx":
            nginx = find_nginx() or missing("nginx is not installed; run `make brokers`")
            self._child = start_proxy(
                nginx,
                f"127.0.0.1:{self.port}",
                [f"127.0.0.1:{port}" for port in self.replica_ports],
                self._folder,
                self._children,
            ).child
        else:
            self._child = self._start_caddy(tries=3)
        return self

    def _start_caddy(self, tries: int) -> Child:
        """If another connection takes the free port meanwhile, try another port."""
        caddy = shutil.which("caddy") or missing("caddy is not installed; run `make brokers`")
        settings = {
            "LISTEN": f"http://:{self.port}",
            "REPLICAS": " ".join(f"127.0.0.1:{port}" for port in self.replica_ports),
            "UI": str(ROOT / "ui"),
            "HOME": str(self._folder),
        }
        command = [caddy, "run", "--config", ROOT / "deploy" / "caddy" / "Caddyfile", "--adapter", "caddyfile"]
        child = self._children.add(spawn("caddy", command, self._folder / "caddy.log", env=os.environ | settings))
        try:
            poll("caddy ready", 20, lambda: get(f"http://127.0.0.1:{self.port}/readyz"), [child])
        except TransientError:
            if tries == 1 or "address already in use" not in child.last_words(lines=20):
                raise
            (self.port,) = free_ports(1)
            return self._start_caddy(tries - 1)
        return child

    def get(self, path: str, headers: Mapping[str, str] = {}) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers), timeout=20)

    def reload_nginx(self) -> None:
        """Make nginx reload its configuration; return once the old workers are gone."""
        nginx = psutil.Process(self._child.pid)
        old = set(nginx.children())
        self._child.send_signal(signal.SIGHUP)
        wait_until(lambda: nginx.children() and not old & set(nginx.children()), "nginx reloaded", 60)

    def __exit__(self, *_: object) -> None:
        self._children.stop()
        for life in self._lives.values():
            life.close()

    def start(self, number: int) -> None:
        """Start a replica on its port; return once it is ready."""
        life = self._lives[number] = ExitStack()
        settings = self._settings | {"port": self.replica_ports[number], "server": f"replica-{number}"}
        self.replicas[number] = life.enter_context(running(self._folder, **settings))

    def kill(self, number: int) -> None:
        """End it as a crash would."""
        self.replicas[number].process.kill()
        self._lives.pop(number).close()

    def open(self, count: int, path: str = "/sse") -> list[SseClient]:
        """Open this many streams through nginx; each has received its head or its end."""
        clients = [SseClient(self.port, path, BROWSER) for _ in range(count)]
        for client in clients:
            while not client.raw or (b" 200 " in client.head[:20] and b"retry: " not in client.body):
                client.read_some()
        return clients


def served_by(clients: list[SseClient]) -> list[str]:
    """Each client's replica, or the status of an answer that is not a replica's stream."""
    found = []
    for client in clients:
        match = re.search(rb": fanbench (\S+)", client.body)
        found.append(match[1].decode() if match else client.head.split(b"\r\n")[0].decode())
    return found


def close(clients: list[SseClient]) -> None:
    for client in clients:
        client.sock.close()


@pytest.fixture(scope="module")
def broker_url(integration: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with find_contender("valkey").launched(tmp_path_factory.mktemp("valkey")) as broker:
        yield broker.url


@pytest.fixture
def publisher(broker_url: str) -> Iterator[Publisher]:
    publisher = Publisher(int(broker_url.rpartition(":")[2]))
    yield publisher
    publisher.close()


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(proxy: str, broker_url: str, tmp_path: Path) -> Iterator[Site]:
    with Site(proxy, broker_url, tmp_path) as site:
        yield site


def test_a_replica_that_came_back_gets_new_streams_and_takes_over_when_the_other_dies(site: Site) -> None:
    first = site.open(20)
    assert sorted(set(served_by(first))) == ["replica-0", "replica-1"]
    site.kill(0)
    survivors = site.open(10)
    assert set(served_by(survivors)) == {"replica-1"}
    site.start(0)
    # Caddy checks every two seconds whether it is ready again.
    wait_until(lambda: "replica-0" in served_by(site.open(1)), "the proxy knows it again", 30)
    later = site.open(40)
    assert served_by(later).count("replica-0") >= 20
    site.kill(1)
    last = site.open(60)
    assert served_by(last) == ["replica-0"] * 60
    close([*first, *survivors, *later, *last])


def test_one_clients_503_does_not_disable_the_replica_for_others(proxy: str, broker_url: str, tmp_path: Path) -> None:
    with Site(proxy, broker_url, tmp_path, max_topics=3) as site:
        held = site.open(1, "/sse?topic=a&topic=b") + site.open(1, "/sse?topic=a&topic=b")
        refused = served = 0
        for _ in range(10):
            answer = site.get("/sse?topic=c&topic=d")
            refused += answer.status_code == 503
            assert "FANBENCH_MAX_TOPICS" in answer.json()["error"], "the replica's own words"
            assert answer.headers["retry-after"]
            others = site.open(3)
            served += sum(name.startswith("replica-") for name in served_by(others))
            close(others)
        assert (refused, served) == (10, 30)
        close(held)


def test_a_browser_returns_after_a_time_without_replicas(site: Site, publisher: Publisher) -> None:
    (client,) = site.open(1)
    stamps = publisher.events(3)
    assert client.take_ids(3) == [stamp.id for stamp in stamps]
    site.kill(0)
    site.kill(1)
    away = site.open(40)
    retries = set()
    for one in away:
        assert one.head.startswith(b"HTTP/1.1 200 "), one.head
        assert b"content-type: text/event-stream" in one.head.lower()
        one.read_to_end()
        assert one.events == []
        assert one.body.count(b"\n\n") == 0, "some clients take a block with nothing but retry: for an event"
        retries.add(int(re.findall(rb"^retry: (\d+)$", one.body, re.M)[0]))
    assert len(retries) >= 5, "they do not come back all at once"
    assert min(retries) >= 1000
    plain = site.get("/sse", {"Accept": "*/*"})
    assert plain.status_code in (502, 503), "a client that is not a browser gets the real status"
    assert "no replica answers" in plain.json()["error"]


def test_a_cross_origin_browser_may_read_that_too(site: Site) -> None:
    site.kill(0)
    site.kill(1)
    origin = "https://example.org"
    found = site.get("/sse", BROWSER | {"Origin": origin}).headers
    assert found["access-control-allow-origin"] == origin
    assert found["access-control-allow-credentials"] == "true"
    found = site.get("/sse", BROWSER).headers
    assert "access-control-allow-origin" not in found


def test_a_full_replica_tells_browsers_to_retry_and_others_the_reason(
    proxy: str, broker_url: str, tmp_path: Path
) -> None:
    with Site(proxy, broker_url, tmp_path, max_clients=1) as site:
        held = site.open(2)
        assert sorted(served_by(held)) == ["replica-0", "replica-1"]
        (away,) = site.open(1)
        assert away.head.startswith(b"HTTP/1.1 200 ")
        away.read_to_end()
        answer = site.get("/sse", {"Accept": "*/*"})
        assert answer.status_code == 503
        assert "limit" in answer.json()["error"]
        close(held)


def test_each_replicas_clock_can_be_read(site: Site) -> None:
    answered = set()

    def both() -> bool:
        answer = site.get("/clock")
        assert HostClock.parse(answer.headers["fanbench-clock"]) is not None
        answered.add(answer.json()["server"])
        return len(answered) == 2

    wait_until(both, "each replica in turn tells its clock", 30)


def test_the_query_and_the_last_id_reach_the_replica(site: Site, publisher: Publisher) -> None:
    path = "/sse?topic=q%2Fr&topic=s"
    held = site.open(4, path)
    assert set(served_by(held)) == {"replica-0", "replica-1"}
    stamps = publisher.events(3, "q/r")
    assert [client.take_ids(3) for client in held] == [[stamp.id for stamp in stamps]] * 4
    for headers in (BROWSER, {}):
        with SseClient(site.port, "/sse?topic=q%2Fr", headers | {"Last-Event-ID": stamps[1].id}) as again:
            assert again.take_ids(1) == [stamps[2].id]
    close(held)


@pytest.mark.parametrize("path", ["/stats", "/metrics", "/openapi.json", "/stats/", "//stats", "/sse/browser"])
def test_operator_endpoints_are_not_published(site: Site, path: str) -> None:
    assert site.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css"])
def test_the_page_tells_browsers_what_it_may_do(site: Site, path: str) -> None:
    page = (ROOT / "ui" / "index.html").read_text()
    (own,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    by_itself = httpx.get(f"http://127.0.0.1:{site.replica_ports[0]}{path}")
    for headers in (site.get(path).headers, by_itself.headers):
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == f"{own}; frame-ancestors 'none'"


def test_one_address_cannot_take_all_connections(broker_url: str, tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    (limit,) = set(re.findall(r"limit_conn streams (\d+);", text))
    connections = int(re.findall(r"worker_connections +(\d+);", text)[0])
    assert int(limit) <= connections // 4, "half of what a worker can serve, at two connections a client"
    with Site("nginx", broker_url, tmp_path) as site:
        # The real limit, but small enough to reach.
        config = tmp_path / "nginx" / "nginx.conf"
        config.write_text(config.read_text().replace(f"limit_conn streams {limit};", "limit_conn streams 5;"))
        site.reload_nginx()
        held = site.open(5)
        assert all(name.startswith("replica-") for name in served_by(held))
        answer = site.get("/sse", BROWSER)
        assert answer.status_code == 429
        assert json.loads(answer.text)["error"]
        with suppress(OSError):
            close(held)
