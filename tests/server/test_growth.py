"""Connections that come and go leave nothing behind: a replica's memory stays constant."""

import signal
import subprocess
from pathlib import Path

import pytest

from core.ports import free_port
from core.process import OWN_PYTHON
from tests.server.program import Replica, environment, running
from tests.waiting import wait_until

AT_ONCE = 10_000
STEPS = 20
GROWTH = 1.02
"""The largest ratio of the memory in the last third of the samples to that in the sample before it."""


def churned(replica: Replica, count: int) -> int:
    """Open and close this many connections of every kind; return the replica's resident memory afterwards."""
    command = [*OWN_PYTHON, "-m", "tests.server.churn", str(replica.port), str(count)]
    subprocess.run(command, check=True, timeout=1200)
    replica.wait_clients(0)
    return replica.resident_bytes()


def test_churn_of_every_kind_ends_with_no_client_and_no_topic(valkey: str, folder: Path) -> None:
    with running(folder, broker_url=valkey, topic_linger_s=0.2) as replica:
        churned(replica, 500)
        wait_until(lambda: set(replica.stats().topics) == {"events"}, "its topics are let go", 30)
        stats = replica.stats()
        assert (stats.clients, stats.buffered_bytes) == (0, 0)


def test_connections_leave_nothing_that_only_a_full_collection_finds(valkey: str, folder: Path) -> None:
    port, told = free_port(), folder / "collected"
    told.touch()
    settings = {"broker_url": valkey, "port": port, "topic_linger_s": 0.2}
    command = [*OWN_PYTHON, "-m", "tests.server.collecting", str(told)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(settings), stdout=log, stderr=log)
    replica = Replica(process, port, folder / "log")  # type: ignore[arg-type]
    try:
        replica.wait_ready()
        found = []
        for number in (1, 2):
            churned(replica, 700)
            wait_until(lambda: set(replica.stats().topics) == {"events"}, "its topics are let go", 30)
            process.send_signal(signal.SIGUSR2)
            wait_until(lambda: len(told.read_text().splitlines()) == number, "a collection", 30)  # noqa: B023
            found.append(int(told.read_text().splitlines()[-1]))
        assert found[1] < 100, "it was 20,000 when each connection left a circle"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_200_000_connections_leave_memory_within_2_per_cent_over_the_last_third(valkey: str, folder: Path) -> None:
    with running(folder, broker_url=valkey, topic_linger_s=2) as replica:
        samples = [churned(replica, AT_ONCE) for _ in range(STEPS)]
    print("resident MB:", *(round(sample / 1e6, 1) for sample in samples))
    last = samples[-STEPS // 3 :]
    before = samples[-STEPS // 3 - 1]
    assert max(last) <= GROWTH * before
