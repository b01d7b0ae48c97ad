"""A broker that is away is visible: readiness after its grace, the gauge, /stats and the log at once."""

import json
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from tests.missing import missing
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
