"""`--launch docker` with real containers, if a Docker daemon answers."""

import asyncio
import csv
import json
import os
import signal
import socket
import time

import psutil
import pytest

from brokers.conformance.faults import publish_until_taken
from brokers.conformance.workbench import Workbench, settle
from brokers.contenders import find_contender
from brokers.programs.catalogue import IMAGES
from core.errors import FanbenchError
from core.ports import free_port
from harness.runner.resources import rss_mb
from tests.compose.demo import docker
from tests.harness.command import Started, fanbench
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def containers(pid):
    """The containers of the fanbench with this process id, running or not."""
    return docker("ps", "--all", "--quiet", "--filter", f"name=^fanbench-{pid}-")


@pytest.fixture
def launched(engine, tmp_path):
    """Launches a contender in Docker, as a Workbench; afterwards nothing may be left."""
    stack = []

    def launch(name):
        contender = find_contender(name).launched_by("docker")
        contender.require_runnable()
        stack.append(contender.launched(tmp_path))
        broker = stack[-1].__enter__()
        workbench = Workbench(contender, broker.url, broker.running, tmp_path)
        settle(workbench)
        return workbench

    volumes = docker("volume", "ls", "--quiet")
    yield launch
    for context in stack:
        context.__exit__(None, None, None)
    assert containers(os.getpid()) == ""
    assert set(docker("volume", "ls", "--quiet").split()) <= set(volumes.split())


async def round_trip(workbench):
    topic = workbench.topic()
    async with workbench.producer() as producer, workbench.reader(topic) as (_, reader):
        await producer.publish(topic, b"x")
        await reader.count(1)


@pytest.mark.parametrize("name", ["valkey", "redis", "mosquitto", "nats", "nats-mqtt"])
async def test_a_program_answers_in_a_container_and_again_after_a_kill(name, launched):
    workbench = await asyncio.to_thread(launched, name)
    running, port = workbench.running, workbench.endpoint().port
    await round_trip(workbench)
    (pid,) = running.pids
    assert psutil.Process(pid).name().startswith(("valkey", "redis", "mosquitto", "nats"))
    assert rss_mb([pid]) > 1
    assert docker("port", container_of(name)).count("\n") == len(running.listeners) - 1
    for listener in running.listeners.values():
        assert listener in docker("port", container_of(name))

    running.kill()
    assert running.pids == []
    assert not running.ready()
    running.start_again()
    assert running.pids != [pid]
    assert workbench.endpoint().port == port
    await round_trip(workbench)


def container_of(name):
    program = find_contender(name).program
    return docker("ps", "--quiet", "--filter", f"name=^fanbench-{os.getpid()}-{program}-")


@pytest.mark.parametrize(
    "name", ["valkey-streams", "nats-jetstream", pytest.param("rabbitmq-stream", marks=pytest.mark.soak)]
)
async def test_a_stream_outlives_a_kill(name, launched):
    workbench = await asyncio.to_thread(launched, name)
    topic, since_ns = workbench.topic(), time.time_ns()
    payloads = [b"%d" % i for i in range(100)]
    async with workbench.producer() as producer:
        for payload in payloads:
            await producer.publish(topic, payload)
        workbench.running.kill()
        await asyncio.to_thread(workbench.running.start_again)
        await publish_until_taken(producer, topic, b"after")
    async with workbench.reader() as (consumer, reader):
        await consumer.subscribe(topic, since_ns=since_ns)
        await reader.until(lambda: b"after" in reader.payloads, "what was published after the kill")
        assert reader.payloads[: len(payloads)] == payloads


def test_a_stopped_program_is_silent_until_it_is_continued(launched):
    running = launched("valkey").running
    running.child.send_signal(signal.SIGSTOP)
    assert not running.ready()
    running.child.send_signal(signal.SIGCONT)
    assert running.ready()
    running.child.send_signal(signal.SIGSTOP)  # and a stopped one is ended too


def test_versions_are_those_of_the_program_and_its_image(engine):
    found = IMAGES["mosquitto"].version()
    assert found.endswith(" eclipse-mosquitto:2")
    assert found[0].isdigit()


def test_a_port_in_use_is_reported_by_docker_and_nothing_is_left(engine, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("brokers.programs.images.free_ports", lambda count: [taken.getsockname()[1]] * count)
        with pytest.raises(FanbenchError, match=r"valkey in Docker ended.*address already in use"):
            IMAGES["valkey"].start(tmp_path)
    assert containers(os.getpid()) == ""


def test_a_comparison_stores_a_run_that_counts_the_container(engine, tmp_path):
    words = ["compare", "valkey", "--launch", "docker", "-s", "smoke", "--rounds", "1", "--repeats", "0", "--json"]
    done = fanbench(*words, "--out", tmp_path)
    answer = json.loads(done.stdout)
    (run,) = answer["runs"]
    assert (run["contender"], run["lost"]) == ("valkey", 0)
    assert run["delivered"] > 0
    with next(tmp_path.glob("*/summary.csv")).open(newline="") as summary:
        (row,) = csv.DictReader(summary)
    assert float(row["broker_rss_mb"]) > 1
    manifest = json.loads(next(tmp_path.glob("*/manifest.json")).read_text())
    assert manifest["versions"]["valkey"].endswith(" valkey/valkey:8-alpine")


def test_a_killed_fanbench_leaves_no_container(engine, tmp_path):
    started = Started("demo", "nats", "--launch", "docker", "--port", free_port(), log=tmp_path / "log")
    try:
        started.wait_for("Ctrl-C stops it")
        assert containers(started.process.pid)
        started.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not containers(started.process.pid), "the end of the container", 30, every_s=0.1)
        wait_until(lambda: not started.left(), "the end of all children", 30)
    finally:
        started.close()
