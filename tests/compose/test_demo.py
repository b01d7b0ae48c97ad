"""Runs the commands of docs/deploy.md, if a Docker daemon answers."""

import itertools
import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.sse import SSEEvent
from core.stamp import parse_id
from tests.compose.demo import ROOT, Demo, docker
from tests.compose.test_hardening import assert_bounded
from tests.waiting import wait_until

REPLICAS = 2
SERVICES = 5  # the broker, two replicas, the generator, the proxy


def server_of(event: SSEEvent) -> str:
    return str(json.loads(event.data)["server"])


def messages(events: Iterator[SSEEvent]) -> Iterator[SSEEvent]:
    return (event for event in events if event.event == "message")


def first_server(demo: Demo) -> str:
    with demo.stream() as events:
        return server_of(next(messages(events)))


pytestmark = pytest.mark.timeout(600)  # the first test builds the image, which fetches every library


def test_up_builds_a_missing_image(image: str):
    fresh = Demo(["load"], f"{image}-fresh")  # every service that uses it; the layers are those of `image`
    try:
        fresh.compose("up", "--no-start")
        assert docker("images", "--quiet", fresh.image)
    finally:
        fresh.compose("down")
        docker("rmi", "-f", fresh.image)
    assert fresh.leftovers() == ""


def test_mosquitto_has_two_profiles(image: str):
    services = [
        set(Demo([profile], image).compose("config", "--services").split()) for profile in ("mqtt", "mosquitto")
    ]
    assert "mosquitto" in services[0]
    assert services[0] == services[1]


@pytest.mark.parametrize(
    ("demo", "how"),
    [("redis", "stop"), ("rabbitmq", "stop"), ("nats", "kill")],
    indirect=["demo"],
)
def test_each_broker_serves_both_replicas_and_a_client_outlives_its_replica(demo: Demo, how: str):
    demo.wait_healthy(SERVICES)
    if demo.profiles == ["redis"]:
        assert_bounded(demo)

    servers: set[str] = set()
    wait_until(lambda: servers.add(first_server(demo)) or len(servers) == REPLICAS, "curl -N sees both replicas", 20)
    # A replica's name is its container's id, which `docker stop` and `kill` accept.
    assert servers == set(demo.containers("server"))

    with demo.stream() as events:
        seen = [next(messages(events))]
        doomed = server_of(seen[0])
        docker(how, doomed)
        seen += messages(events)
    with demo.stream("-H", f"Last-Event-ID: {seen[-1].id}") as events:
        seen += itertools.islice(messages(events), 20)
    places = [parse_id(event.id) for event in seen]
    assert places[0] is not None
    assert places == [(places[0][0], places[0][1] + n) for n in range(len(seen))]
    assert {server_of(event) for event in seen[-20:]} == servers - {doomed}


@pytest.mark.parametrize("demo", ["FANBENCH_GENERATE=true valkey --scale generator=0"], indirect=True)
def test_replicas_that_generate_see_each_others_events(demo: Demo):
    demo.wait_healthy(SERVICES - 1)

    def streams() -> list[set[str]]:
        return [set(found["received"]) for found in demo.stats().values()]

    what = "a stream from each replica at each replica"
    wait_until(lambda: [len(seen) for seen in streams()] == [REPLICAS] * REPLICAS, what, 30, every_s=0.2)
    assert len(set.union(*streams())) == REPLICAS


def ask(url: str, **form: object) -> Any:
    """A URL's JSON answer, to a POST if there is a form."""
    body = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data=body, timeout=30) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("demo", ["mqtt load --scale worker=2"], indirect=True)
def test_locust_loses_nothing_through_the_proxy_and_its_web_ui_has_the_workers(demo: Demo, tmp_path: Path):
    demo.wait_healthy(SERVICES + 4)  # Locust, two workers, and the unused Redis of profile load
    assert all(found["broker"].startswith("mqtt://") for found in demo.stats().values())

    locust = [Path(sys.executable).with_name("locust"), "-f", "load/sse.py", "--headless", "--host", demo.url]
    subprocess.run(
        [*locust, "-u", "60", "-r", "60", "-t", "6s", "--drain", "5", "--out", tmp_path / "out.json"],
        cwd=ROOT,
        check=True,
    )
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["clients"] == 60
    assert result["deliveries"] > 60
    assert (result["lost"], result["duplicated"], result["reordered"], result["reconnects"]) == (0, 0, 0, 0)
    assert set(result["servers"]) == set(demo.containers("server"))

    stats = f"{demo.locust_url}/stats/requests"
    wait_until(lambda: ask(stats)["worker_count"] == 2, "both workers have joined", 30, every_s=0.2)
    # Directly at the replicas, which share one name.
    ask(f"{demo.locust_url}/swarm", user_count=40, spawn_rate=40, host="http://server:8000")

    def clients() -> list[int]:
        return [found["clients"] for found in demo.stats().values()]

    wait_until(lambda: clients() == [20, 20], "40 clients from the workers, on both replicas", 30, every_s=0.2)
    wait_until(lambda: sum(row["num_requests"] for row in ask(stats)["stats"]) > 1000, "deliveries", 30, every_s=0.2)
    assert ask(stats)["fail_ratio"] == 0
