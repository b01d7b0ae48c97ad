"""No client can hurt another: the others' latency while one does its worst, over real sockets."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from wsproto import events

from tests.server.bystanders import Bystanders
from tests.server.program import Replica, SseClient, running
from tests.server.test_http import GET
from tests.server.test_websocket import Socket
from tests.waiting import wait_until

P99_S = 1.0
"""The limit of the others' 99th percentile, in CPU seconds of the replica."""
IDLE_S = 1.5
"""The limit of the time in which the replica keeps 99 of 100 events waiting and waits itself, for another client."""


def masked(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    assert len(payload) < 126
    return bytes([opcode | (0x80 if final else 0), 0x80 | len(payload)]) + bytes(4) + payload


EMPTY_TEXT, EMPTY_PING, EMPTY_FRAGMENT = masked(1), masked(9), masked(0, final=False)


@pytest.fixture(scope="module")
def victim(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(tmp_path_factory.mktemp("victim"), broker_url=valkey) as replica:
        yield replica
        assert "Traceback" not in replica.log.read_text()


@pytest.fixture
def others(victim: Replica, valkey: str) -> Iterator[Bystanders]:
    others = Bystanders(victim, int(valkey.rpartition(":")[2]))
    yield others
    others.kill()


def require_unharmed(others: Bystanders) -> None:
    after = others.stop()
    assert after.p99_s < P99_S, (others.before, after)
    assert after.idle_p99_s < IDLE_S, (others.before, after)


def flood(sock: socket.socket, data: bytes) -> None:
    """Send it all, until the other side closes."""
    with contextlib.suppress(OSError):
        sock.sendall(data)


def close_code(ws: Socket) -> int:
    """The code of the final close frame."""
    with contextlib.suppress(OSError):
        ws.read_to_end()
    (close,) = [event for event in ws.others if isinstance(event, events.CloseConnection)][:1]
    return int(close.code)


def test_a_replica_that_stands_still_is_noticed_although_it_uses_no_cpu(victim: Replica, others: Bystanders) -> None:
    os.kill(victim.process.pid, signal.SIGSTOP)
    time.sleep(2 * IDLE_S)  # how long it stands still
    os.kill(victim.process.pid, signal.SIGCONT)
    after = others.stop()
    assert after.p99_s < P99_S, after
    assert after.idle_p99_s > IDLE_S, after


@pytest.mark.parametrize(
    "frames",
    [
        EMPTY_TEXT * 700_000,
        EMPTY_PING * 700_000,
        masked(1, final=False) + EMPTY_FRAGMENT * 700_000,
        b"\x82\xff" + b"\xff" * (8 << 20),
    ],
    ids=["empty messages", "pings", "empty fragments", "one huge frame"],
)
def test_frames_without_end_stall_nobody(victim: Replica, others: Bystanders, frames: bytes) -> None:
    sockets = [Socket(victim.port, "/ws?topic=flood").opened() for _ in range(3)]
    threads = [threading.Thread(target=flood, args=(ws.sock, frames)) for ws in sockets]
    for thread in threads:
        thread.start()
    codes = [close_code(ws) for ws in sockets]
    for thread in threads:
        thread.join(60)
    assert set(codes) <= {1002, 1008, 1009}, codes
    require_unharmed(others)
    wait_until(lambda: "flood" not in victim.stats().topics or not victim.stats().topics["flood"], "they are gone")


def test_a_websocket_within_its_limits_continues(victim: Replica, others: Bystanders) -> None:
    ws = Socket(victim.port, "/ws?topic=bystanders").opened()
    for _ in range(10):
        ws.sock.sendall(masked(1, b"x" * 100) * 20 + EMPTY_PING * 20)
        assert ws.take(1)
    ws.sock.close()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(1, b"\xff\xfe"), 1007),
        (masked(1, b"x" * 100, final=False) + masked(0, b"x" * 100, final=False) * 60, 1009),
        (b"\x81\xfe" + struct.pack(">H", 5000) + bytes(4) + b"x" * 5000, 1009),
        (masked(9, b"x" * 125)[:1] + b"\xfe\x00\x7e" + bytes(4) + b"x" * 126, 1002),
        (b"\x81\x05hello", 1002),
        (masked(3), 1002),
        (masked(0, b"x"), 1002),
    ],
    ids=["not UTF-8", "too large in fragments", "too large", "large ping", "not masked", "no such opcode", "no start"],
)
def test_a_broken_frame_gets_its_close_code(victim: Replica, frames: bytes, code: int) -> None:
    ws = Socket(victim.port, "/ws?topic=broken").opened()
    ws.sock.sendall(frames)
    assert close_code(ws) == code


@pytest.mark.parametrize("origin", ["http://[::1", "http://[x]", "\u00e9", "null", "://", "http://a:99999"])
def test_a_broken_origin_is_refused(victim: Replica, origin: str) -> None:
    request = f"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nOrigin: {origin}\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with socket.create_connection(("127.0.0.1", victim.port), timeout=20) as sock:
        sock.sendall((request + key).encode())
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 403 ")


def test_a_handshake_with_megabytes_behind_it_is_cut(victim: Replica, others: Bystanders) -> None:
    request = b"GET /ws?topic=early HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    before = victim.resident_bytes()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", victim.port), timeout=20) as sock:
            flood(sock, request + key + os.urandom(16 << 20))
    require_unharmed(others)
    assert victim.resident_bytes() - before < 32 << 20


def misbehave(attack: Callable[[], None], seconds: float, threads: int) -> None:
    """Run it repeatedly in this many threads for this long."""
    until_s = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < until_s:
            attack()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)


def test_pipelines_without_end_stall_nobody(victim: Replica, others: Bystanders) -> None:
    requests = GET % b"/healthz" * 10_000

    def attack() -> None:
        with socket.create_connection(("127.0.0.1", victim.port), timeout=20) as sock:
            sock.settimeout(0.5)
            flood(sock, requests)
            with contextlib.suppress(OSError):
                while sock.recv(1 << 20):
                    pass

    misbehave(attack, 4, 3)
    require_unharmed(others)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n",
    ],
    ids=["chunks of a byte", "a body without end"],
)
def test_a_body_without_end_stalls_nobody(victim: Replica, others: Bystanders, head: bytes) -> None:
    body = b"1\r\nx\r\n" * 1_000_000

    def attack() -> None:
        with socket.create_connection(("127.0.0.1", victim.port), timeout=20) as sock:
            sock.settimeout(2)
            flood(sock, head + body)

    misbehave(attack, 4, 3)
    require_unharmed(others)


def test_bytes_without_end_on_a_stream_stall_nobody(victim: Replica, others: Bystanders) -> None:
    data = bytes(1 << 24)

    def attack() -> None:
        with SseClient(victim.port, "/sse?topic=flooded") as client:
            flood(client.opened().sock, data * 8)

    misbehave(attack, 4, 3)
    require_unharmed(others)
    assert victim.stats().disconnects["flooding"] > 0
