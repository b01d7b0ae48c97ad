"""A topic that the broker or its protocol refuses affects only its own clients. Real programs."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from brokers.conformance.provocations import Restricted, provocations_of
from brokers.contenders import find_contender
from tests.missing import missing
from tests.server.program import Replica, SseClient, running


@pytest.fixture(scope="module")
def restricted(integration: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restricted]:
    """A Valkey whose user may use only some topics."""
    if not find_contender("valkey").runnable:
        missing(find_contender("valkey").install_hint)
    start = provocations_of("valkey").restricted
    assert start is not None
    with start(tmp_path_factory.mktemp("restricted")) as found:
        yield found


@pytest.fixture(scope="module")
def replica(restricted: Restricted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    url = f"{restricted.url}?max_topic_bytes=100"
    topics = f"{restricted.allowed}events"
    with running(tmp_path_factory.mktemp("replica"), broker_url=url, topics=topics) as replica:
        yield replica


def test_one_forbidden_topic_among_many_in_one_request(replica: Replica, restricted: Restricted) -> None:
    def ask(topic: str) -> tuple[int, bytes]:
        with SseClient(replica.port, f"/sse?topic={topic}") as client:
            while b"\r\n\r\n" not in client.raw:
                client.read_some()
            return int(client.head.split()[1]), client.raw

    allowed = [f"{restricted.allowed}room-{i}" for i in range(20)]
    with ThreadPoolExecutor(21) as pool:
        answers = list(pool.map(ask, [*allowed[:10], "secret", *allowed[10:]]))
    assert [status for status, _ in answers] == [200] * 10 + [403] + [200] * 10
    status, body, _ = replica.get("/sse?topic=secret")
    assert status == 403
    told = json.loads(body)["error"]
    assert "topic 'secret': the broker forbids it" in told
    assert "permission" in told
    assert replica.get(f"/sse?topic=secret&topic={allowed[0]}")[0] == 403
    assert replica.stats().refused["403"] >= 2


def test_a_topic_over_the_protocols_limit_in_bytes(replica: Replica, restricted: Restricted) -> None:
    good = SseClient(replica.port, f"/sse?topic={restricted.allowed}events").opened()
    status, body, _ = replica.get("/sse?topic=" + "%C3%BC" * 51)
    assert status == 400
    assert "102 bytes of UTF-8, but the longest allowed name has 100" in json.loads(body)["error"]
    assert replica.get("/readyz")[0] == 200
    assert replica.stats().gaps == 0
    good.sock.close()
