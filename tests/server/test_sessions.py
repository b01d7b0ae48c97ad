"""Topics that come and go: a client that wants a whole topic gets it at once, and finished topics leave nothing behind."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core.stamp import Stamp, encode_compact
from server.ledger import ANY_TOPIC, CLOSED_TOPICS, Ledger
from tests.server.program import SseClient, running
from tests.waiting import wait_until

STREAM = "sessions"
TOKEN = b"token"
FEW_KB = 3.0
"""By how much a replica may grow for each topic that has ended: names that are remembered and noise of the allocator (1.4 was
seen). A topic that stayed would take more, with its history."""


def stamp_of(topic: str, seq: int = 0) -> Stamp:
    now_ns = time.time_ns()
    return Stamp("s", seq, topic, "measure", now_ns, now_ns)


def test_counts_of_dropped_topics_become_one_sum() -> None:
    ledger = Ledger()
    for number in range(3 * CLOSED_TOPICS):
        name = f"t{number}"
        ledger.open_topic(name)
        ledger.receive(stamp_of(name))
        ledger.receive(stamp_of(name, 1))
        ledger.gap_lost[name] += 1
        ledger.close_topic(name)
    assert len(ledger.received) == CLOSED_TOPICS + 1
    by_topic = ledger.received_by_stream()["s"]
    assert by_topic[ANY_TOPIC].measure == 2 * 2 * CLOSED_TOPICS
    assert sum(counts.measure for counts in by_topic.values()) == 6 * CLOSED_TOPICS
    assert sum(ledger.gap_lost.values()) == 3 * CLOSED_TOPICS
    assert len(ledger.gap_lost) == CLOSED_TOPICS + 1


def test_a_reopened_topic_keeps_its_counts() -> None:
    ledger = Ledger()
    ledger.receive(stamp_of("mine"))
    ledger.close_topic("mine")
    ledger.open_topic("mine")
    for number in range(2 * CLOSED_TOPICS):
        ledger.close_topic(f"t{number}")
    ledger.receive(stamp_of("mine", 1))
    assert ledger.received_by_stream()["s"]["mine"].measure == 2


def test_every_subscription_of_a_topic_is_counted() -> None:
    ledger = Ledger()
    for name in ("a", "b", "a"):
        ledger.open_topic(name)
        ledger.close_topic(name)
    ledger.open_topic("c")
    assert (ledger.opened_topics, ledger.closed_topics) == (4, 3)


class Log:
    """Adds entries to a stream by hand, as the adapter does."""

    def __init__(self, url: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=20)
        self._file = self._sock.makefile("rb")

    def add(self, topic: str, seq: int) -> None:
        payload = encode_compact(stamp_of(topic, seq), TOKEN)
        parts = [
            b"XADD",
            STREAM.encode(),
            b"MAXLEN",
            b"~",
            b"10000",
            b"*",
            b"topic",
            topic.encode(),
            b"payload",
            payload,
        ]
        self._sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
        assert self._file.readline().startswith(b"$")
        self._file.readline()

    def close(self) -> None:
        self._file.close()
        self._sock.close()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_five_thousand_finished_topics_leave_nothing_behind(valkey: str, folder: Path) -> None:
    url = valkey.replace("redis://", "redis+streams://") + f"?stream={STREAM}&recent=1000"
    log = Log(valkey)
    settings = {"broker_url": url, "topics": "", "topic_linger_s": 0.2, "history_age_s": 5}
    with running(folder, **settings) as replica:

        def live_and_die(first: int, count: int) -> int:
            """This many sessions of three events each; return the replica's memory when all have ended."""
            for number in range(first, first + count):
                topic = f"session-{number}"
                log.add(topic, 0)
                with SseClient(replica.port, f"/sse?topic={topic}&last_event_id=0") as client:
                    got = client.take_ids(1)
                    log.add(topic, 1)
                    log.add(topic, 2)
                    assert got + client.take_ids(2) == ["s-0", "s-1", "s-2"]
            wait_until(lambda: not replica.stats().topics, "its topics are let go", 60)
            return replica.resident_bytes()

        before = live_and_die(0, 2_000)  # everything that is kept of finished ones is full
        after = live_and_die(2_000, 5_000)
    log.close()
    assert (after - before) / 5_000 / 1024 < FEW_KB
