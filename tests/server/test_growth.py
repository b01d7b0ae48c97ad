"""Connections that come and go leave nothing behind: the memory of a replica stands still."""

import subprocess
from pathlib import Path

import pytest

from core.process import OWN_PYTHON
from tests.server.program import Replica, running
from tests.waiting import wait_until

AT_ONCE = 10_000
STEPS = 20
GROWTH = 1.02
"""Of the last third of the samples over the sample before it."""


def churned(replica: Replica, count: int) -> int:
    """Have so many connections of every kind come and go; the replica's resident memory afterwards."""
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


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_200_000_connections_leave_memory_within_2_per_cent_over_the_last_third(valkey: str, folder: Path) -> None:
    with running(folder, broker_url=valkey, topic_linger_s=2) as replica:
        samples = [churned(replica, AT_ONCE) for _ in range(STEPS)]
    print("resident MB:", *(round(sample / 1e6, 1) for sample in samples))
    last = samples[-STEPS // 3 :]
    before = samples[-STEPS // 3 - 1]
    assert max(last) <= GROWTH * before
