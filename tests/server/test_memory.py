"""How much memory clients can make a replica hold, and that it returns this memory."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.bystanders import Bystanders
from tests.server.program import Publisher, Replica, SseClient, running
from tests.server.test_hostile_clients import P99_S
from tests.waiting import wait_until

MIB = 1024 * 1024
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
REQUESTS = {
    "HTTP/1.1": "GET /sse?topic=big&last_event_id={id} HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/1.0": "GET /sse?topic=big&last_event_id={id} HTTP/1.0\r\n\r\n",
    "WebSocket": "GET /ws?topic=big&last_event_id={id} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    + KEY,
}


def stuck(port: int, request: str) -> socket.socket:
    """A client that sends a request and does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request.encode())
    return sock


@pytest.mark.parametrize("how", REQUESTS)
@pytest.mark.parametrize(("event_bytes", "events"), [(500, 8000), (200_000, 40)], ids=["small events", "large events"])
def test_a_replay_that_nobody_reads_holds_little(
    valkey: str, publisher: Publisher, folder: Path, how: str, event_bytes: int, events: int
) -> None:
    clients = 30
    settings = {"history_bytes": 16 * MIB, "history_events": 100_000, "send_buffer_bytes": 16_384}
    with (
        running(folder, broker_url=valkey, **settings) as replica,
        SseClient(replica.port, "/sse?topic=big") as keeper,
    ):
        keeper.opened()
        first = publisher.event("big")
        for _ in range(events):
            publisher.event("big", pad="x" * event_bytes)
            keeper.take(1)
        before = replica.resident_bytes()
        socks = [stuck(replica.port, REQUESTS[how].format(id=first.id)) for _ in range(clients)]
        replica.wait_clients(clients + 1)
        held = [0]

        def settled() -> bool:
            held.append(replica.stats().buffered_bytes)
            return held[-1] > 0 and held[-1] == held[-2]

        wait_until(settled, "each holds what it may", every_s=0.3)
        most = 128 * 1024 + event_bytes
        assert held[-1] <= clients * most, f"{held[-1] / clients / 1024:.0f} KiB a client"
        assert replica.resident_bytes() - before <= clients * most + 8 * MIB
        for sock in socks:
            sock.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_slow_clients_at_once_stall_nobody_and_leave_no_memory_behind(
    valkey: str, publisher: Publisher, folder: Path
) -> None:
    count = 1000
    with running(folder, broker_url=valkey, send_buffer_bytes=16_384) as replica:
        others = Bystanders(replica, int(valkey.rpartition(":")[2]))
        try:
            socks = [stuck(replica.port, "GET /sse?topic=big HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(count)]
            wait_until(lambda: replica.stats().topics.get("big") == count, "all are there", 60)
            before = replica.resident_bytes()
            most = before
            while slow(replica) < count:
                publisher.events(50, "big", pad="x" * 100)
                most = max(most, replica.resident_bytes())
            for sock in socks:
                sock.close()
            assert others.stop().p99_s < P99_S
        finally:
            others.kill()
        grown = most - before
        assert grown > 50 * MIB, "they did hold something"
        wait_until(lambda: replica.resident_bytes() - before < grown // 4, "what they held is given back", 60)


def slow(replica: Replica) -> int:
    return replica.stats().disconnects.get("slow", 0)
