"""An absent broker is visible: at once in the gauge, /stats and the log, and in readiness after the grace period."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from brokers.programs.rabbitmq import evaluate
from tests.brokers.redis_sets import cluster
from tests.missing import missing
from tests.redis_ask import ask
from tests.server.program import Replica, running
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")


def gauge(replica: Replica, name: str) -> float:
    (line,) = [line for line in replica.get("/metrics")[1].decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def readiness(replica: Replica) -> tuple[int, dict[str, object]]:
    status, body, _ = replica.get("/readyz")
    found: dict[str, object] = json.loads(body)
    return status, found


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("grace_s", [0, 3600])
def test_a_killed_broker(folder: Path, tmp_path: Path, grace_s: float) -> None:
    contender = find_contender("valkey")
    if not contender.runnable:
        missing(contender.install_hint)
    with (
        contender.launched(tmp_path / "broker") as broker,
        running(folder, broker_url=broker.url, ready_grace_s=grace_s) as replica,
    ):
        assert broker.running is not None
        assert readiness(replica) == (200, {"ready": True, "broker_connected": True})
        assert gauge(replica, "fanbench_broker_connected") == 1
        broker.running.kill()
        wait_until(lambda: not replica.stats().broker_connected, "the loss is seen")
        assert gauge(replica, "fanbench_broker_connected") == 0
        status, found = readiness(replica)
        assert found["broker_connected"] is False
        assert status == (200 if grace_s else 503)
        assert gauge(replica, "fanbench_ready") == (1 if grace_s else 0)
        if not grace_s:
            assert broker.url in str(found["error"])
            wait_until(lambda: "this replica is not ready" in replica.log.read_text(), "the log says so")
        broker.running.start_again()
        wait_until(lambda: readiness(replica) == (200, {"ready": True, "broker_connected": True}), "ready again")
        assert ("this replica is ready" in replica.log.read_text()) is (grace_s == 0)


def test_an_alarm_at_the_broker(folder: Path, tmp_path: Path) -> None:
    """RabbitMQ then accepts no messages, and does not notify consumers: /stats and the log have its reason."""
    contender = find_contender("rabbitmq")
    if not contender.runnable:
        missing(contender.install_hint)
    with contender.launched(tmp_path / "broker") as broker, running(folder, broker_url=broker.url) as replica:
        port = int(broker.url.rpartition(":")[2])
        assert replica.stats().broker_notice == ""
        evaluate(port, "rabbit_alarm:set_alarm({{resource_limit, disk, node()}, []}).")
        wait_until(lambda: "low on disk" in replica.stats().broker_notice, "the broker's reason in /stats")
        assert "low on disk" in replica.log.read_text()
        assert readiness(replica)[0] == 200
        evaluate(port, "rabbit_alarm:clear_alarm({resource_limit, disk, node()}).")
        wait_until(lambda: not replica.stats().broker_notice, "its end")


def test_messages_that_an_adapter_skips_count_as_foreign(folder: Path, tmp_path: Path) -> None:
    contender = find_contender("valkey-streams")
    if not contender.runnable:
        missing(contender.install_hint)
    with contender.launched(tmp_path / "broker") as broker, running(folder, broker_url=broker.url) as replica:
        port = int(broker.url.rpartition(":")[2])
        ask(port, "XADD", "fanbench", "*", "somebody's", "own")
        ask(port, "XADD", "fanbench", "*", "topic", b"\xff", "payload", "p")
        reasons = {"an entry without the fields topic and payload": 1, "a topic that is not UTF-8": 1}
        wait_until(lambda: replica.stats().foreign == reasons, "both are counted")
        assert 'fanbench_foreign_total{reason="a topic that is not UTF-8"} 1.0' in replica.get("/metrics")[1].decode()


def test_topics_of_a_lost_shard_do_not_affect_other_requests(folder: Path, tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        killed, other, _ = servers.running
        first, last = next(
            (first, last) for first, last, (_, port, *_), *_ in ask(other, "CLUSTER", "SLOTS") if port == killed
        )
        slots = {f"room-{n}": int(ask(other, "CLUSTER", "KEYSLOT", f"room-{n}")) for n in range(24)}
        lost = {topic for topic, slot in slots.items() if first <= slot <= last}
        with running(folder, broker_url=f"redis+cluster://127.0.0.1:{other}") as replica:
            servers.kill(killed)
            wait_until(lambda: "1 of 3 shards are lost" in replica.stats().broker_notice, "the loss in /stats")
            with ThreadPoolExecutor(len(slots)) as clients:
                answers = dict(zip(slots, clients.map(partial(_status, replica), slots), strict=True))
            assert {topic for topic, status in answers.items() if status == 200} == {*slots} - lost
            assert {answers[topic] for topic in lost} == {503}
            assert readiness(replica)[0] == 200


def _status(replica: Replica, topic: str) -> int:
    connection = HTTPConnection("127.0.0.1", replica.port, timeout=30)
    try:
        connection.request("GET", f"/sse?topic={topic}")
        return connection.getresponse().status
    finally:
        connection.close()
