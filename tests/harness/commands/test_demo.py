"""`fanbench demo`: broker, replicas, generator and a page, until Ctrl-C."""

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse

from core.ports import free_port
from harness.runner.proxy import find_nginx
from tests.harness.command import Started
from tests.missing import missing
from tests.waiting import wait_until


@pytest.fixture
def demo(integration, tmp_path):
    run = Started("demo", "nats", "--rate", 20, "--port", free_port(), log=tmp_path / "log")
    yield run
    run.close()


def addresses(text):
    """The address to open, then the replicas' addresses."""
    lines = [line for line in text.splitlines() if line.startswith(("  open ", "  replicas "))]
    return [url for line in lines for url in re.findall(r"http://127\.0\.0\.1:\d+", line)]


def test_the_demo_streams_events_from_every_replica_and_ends_with_ctrl_c(demo):
    demo.wait_for("Ctrl-C stops it")
    demo.wait_for("logs")
    demo.look()
    text = demo.log.read_text()
    url, *replicas = addresses(text)
    assert len(replicas) == 2
    with httpx.Client(timeout=20) as client:
        served = set()
        for base in [url, *replicas]:
            with connect_sse(client, "GET", f"{base}/sse") as source:
                event = next(source.iter_sse())
                served.add(json.loads(event.data)["server"])
                assert re.fullmatch(r"[a-z0-9]+-\d+", event.id)
        assert served == {"replica-1", "replica-2"}
        assert "<html" in client.get(f"{url}/").text
    demo.interrupt()
    wait_until(lambda: not demo.left(), "the end of every child", 10)
    assert demo.process.wait(30) == 0
    assert not Path(re.findall("logs +(.+)", text)[0]).exists()


@pytest.fixture
def nginx():
    """Its path."""
    return find_nginx() or missing("nginx is not installed; run `make brokers`")


@pytest.mark.usefixtures("nginx")
def test_a_replica_that_dies_leaves_the_rotation_and_its_client_resumes_through_another(demo):
    demo.wait_for("logs")
    demo.look()
    url, *replicas = addresses(demo.log.read_text())
    with httpx.Client(timeout=20) as client:
        stats = [client.get(f"{replica}/stats").json() for replica in replicas]
        pids = {one["server"]: one["pid"] for one in stats}
        seen = []
        with connect_sse(client, "GET", f"{url}/sse") as source, contextlib.suppress(httpx.RemoteProtocolError):
            for event in source.iter_sse():
                seen.append(event)
                if len(seen) == 1:
                    doomed = json.loads(event.data)["server"]
                    os.kill(pids[doomed], signal.SIGKILL)
        (other,) = pids.keys() - {doomed}
        demo.wait_for(f"{doomed} ended; its clients continue at {other}")
        with connect_sse(client, "GET", f"{url}/sse", headers={"Last-Event-ID": seen[-1].id}) as source:
            resumed = next(source.iter_sse())
    assert json.loads(resumed.data)["server"] == other
    stream, seq = seen[-1].id.rsplit("-", 1)
    assert resumed.id == f"{stream}-{int(seq) + 1}"
    demo.interrupt()
    assert demo.process.wait(20) == 0
