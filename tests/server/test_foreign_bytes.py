"""Every byte of mixed connections is verified: no client gets another's bytes, whatever other connections do."""

import json
import subprocess
from pathlib import Path

import pytest

from core.process import OWN_PYTHON
from core.stamp import encode
from tests.server.program import Publisher, Replica, running
from tests.server.strict_reader import KEPT, KINDS, TOPICS, pad_of


def publish(publisher: Publisher, topic: str) -> None:
    stamp = publisher.next_stamp(topic)
    publisher.raw(topic, encode(stamp, pad_of(topic, stamp.seq)))


def verified(replica: Replica, publisher: Publisher, connections: int, timeout_s: float) -> dict[str, int]:
    """What the strict reader verified while events continued."""
    for _ in range(KEPT):
        for topic in TOPICS:
            publish(publisher, topic)
    command = [*OWN_PYTHON, "-m", "tests.server.strict_reader", str(replica.port), publisher.stream, str(connections)]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        number = 0
        while reader.poll() is None:
            publish(publisher, TOPICS[number % len(TOPICS)])
            number += 1
            try:
                reader.wait(0.002)
            except subprocess.TimeoutExpired:
                timeout_s -= 0.002
                assert timeout_s > 0
        output, errors = reader.communicate()
        assert reader.returncode == 0, errors[-4000:]
    finally:
        reader.kill()
        reader.wait()
    found: dict[str, int] = json.loads(output)
    return found


SETTINGS = {"topics": "room-{0..99}", "history_age_s": 36_000, "history_events": 500, "send_buffer_bytes": 16_384}


def test_the_bytes_of_mixed_connections(valkey: str, publisher: Publisher, folder: Path) -> None:
    with running(folder, broker_url=valkey, **SETTINGS) as replica:
        found = verified(replica, publisher, 700, 100)
    assert {kind for kind in found if found[kind]} >= set(KINDS) - {"half-closing"}
    assert sum(found.values()) > 10_000


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_a_million_events_over_50_000_mixed_connections(valkey: str, publisher: Publisher, folder: Path) -> None:
    with running(folder, broker_url=valkey, **SETTINGS) as replica:
        found = verified(replica, publisher, 50_000, 2900)
    found.pop("dropped at once")
    print(found)
    assert sum(found.values()) >= 1_000_000
