"""`fanbench demo`: broker, replicas, generator and a page, until Ctrl-C."""

import json
import re

import httpx
import pytest
from httpx_sse import connect_sse

from core.ports import free_port
from tests.bench.command import Started
from tests.waiting import wait_until


@pytest.fixture
def demo(tmp_path):
    run = Started("demo", "nats", "--rate", 20, "--port", free_port(), log=tmp_path / "log")
    yield run
    run.close()


def test_the_demo_streams_events_from_every_replica_and_ends_with_ctrl_c(demo):
    demo.wait_for("Ctrl-C ends it")
    demo.wait_for("logs")
    demo.look()
    text = demo.log.read_text()
    (url,) = re.findall(r"open +(http://127\.0\.0\.1:\d+)/", text)
    replicas = re.findall(r"http://127\.0\.0\.1:\d+", next(line for line in text.splitlines() if "replicas  " in line))
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
    assert demo.process.wait(10) == 0
