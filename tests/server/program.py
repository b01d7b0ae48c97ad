"""A real replica as a child process, a raw SSE client, and a publisher with its own code for the broker's protocol."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core.contracts.codec import decode
from core.contracts.replica_stats import ReplicaStats
from core.forked import Forked
from core.ports import free_port
from core.process import OWN_PYTHON
from core.sse import SSEEvent, SSEParser
from core.stamp import Stamp, encode, new_stream
from tests.programs import FORKED
from tests.waiting import wait_until


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Our environment without FANBENCH_*, plus the settings."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
    return env | {f"FANBENCH_{name.upper()}": str(value) for name, value in settings.items()}


def run_to_end(settings: Mapping[str, object], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m server`, which must end on its own."""
    command = [*OWN_PYTHON, "-m", "server", *arguments]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=40)


class Replica:
    """A running `python -m server`."""

    def __init__(self, process: Forked, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def get(self, path: str, headers: Mapping[str, str] = {}) -> tuple[int, bytes, Mapping[str, str]]:
        """One GET: status, body, headers (names in lower case)."""
        return self.ask("GET", path, headers)

    def ask(self, method: str, path: str, headers: Mapping[str, str] = {}) -> tuple[int, bytes, Mapping[str, str]]:
        """One request with any method."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, headers=dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}

    def stats(self, headers: Mapping[str, str] = {}) -> ReplicaStats:
        status, body, _ = self.get("/stats", headers)
        assert status == 200, body
        return decode(ReplicaStats, body, "/stats")

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.get("/readyz")[0] == 200
            except OSError:
                return False

        wait_until(ready, "replica ready", 40)

    def wait_clients(self, count: int) -> None:
        wait_until(lambda: self.stats().clients == count, f"{count} clients", 30)

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


@contextmanager
def running(folder: Path, **settings: object) -> Iterator[Replica]:
    """A replica with these settings, ready; on a free port unless `port` is among them."""
    port = int(str(settings.get("port", free_port())))
    log = folder / f"server-{port}.log"
    env = environment({"server": "replica-1", "payload_bytes": 180, **settings, "port": port})
    process = FORKED.fork("server", log, env)
    replica = Replica(process, port, log)
    try:
        replica.wait_ready()
        yield replica
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Publisher:
    """Publishes to a Redis or Valkey by hand; PUBLISH answers once every subscriber's connection has the message."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._sock.makefile("rb")
        self.stream = new_stream()
        self._seqs: dict[str, int] = {}

    def raw(self, topic: str, payload: bytes) -> int:
        """Publish these bytes; return the number of subscribers."""
        parts = [b"PUBLISH", topic.encode(), payload]
        self._sock.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
        return int(self._file.readline()[1:])

    def event(self, topic: str = "events", pad: str = "x" * 40) -> Stamp:
        """Publish the next event of the topic; fails if nobody is subscribed."""
        stamp = self.next_stamp(topic)
        assert self.raw(topic, encode(stamp, pad)) > 0, f"nobody is subscribed to {topic}"
        return stamp

    def events(self, count: int, topic: str = "events", pad: str = "x" * 40) -> list[Stamp]:
        return [self.event(topic, pad) for _ in range(count)]

    def next_stamp(self, topic: str = "events") -> Stamp:
        """The stamp of the next event, which counts as published."""
        seq = self._seqs.get(topic, 0)
        self._seqs[topic] = seq + 1
        now_ns = time.time_ns()
        return Stamp(self.stream, seq, topic, "measure", now_ns, now_ns)

    def close(self) -> None:
        self._file.close()
        self._sock.close()


class SseClient:
    """One stream over a plain socket; `raw` keeps every received byte."""

    def __init__(
        self,
        port: int,
        path: str = "/sse",
        headers: Mapping[str, str] = {},
        *,
        version: str = "1.1",
        receive_buffer_bytes: int = 0,
    ) -> None:
        self.sock = socket.socket()
        if receive_buffer_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", port))
        lines = [f"GET {path} HTTP/{version}", "Host: test", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        self._raw = bytearray()
        self._body = bytearray()
        self._decoded = 0  # how much of `_raw` is in `_body`
        self.events: list[SSEEvent] = []
        self.ended = False
        """The server closed the connection."""
        self._parser = SSEParser()

    def __enter__(self) -> "SseClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    @property
    def raw(self) -> bytes:
        """Every received byte."""
        return bytes(self._raw)

    @property
    def head(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """The body so far without chunk framing; an incomplete chunk is left out."""
        return bytes(self._body)

    def _decode(self) -> bytes:
        """The part of the body that arrived since."""
        if not self._decoded:
            head, end, _ = self.raw.partition(b"\r\n\r\n")
            if not end:
                return b""
            self._decoded = len(head) + 4
            self._chunked = b"transfer-encoding: chunked" in head.lower()
        fresh = b""
        while self._decoded < len(self._raw):
            if not self._chunked:
                fresh = bytes(self._raw[self._decoded :])
                self._decoded = len(self._raw)
                break
            end_of_size = self._raw.find(b"\r\n", self._decoded)
            size = int(self._raw[self._decoded : end_of_size], 16) if end_of_size > 0 else 0
            start = end_of_size + 2
            if not size or len(self._raw) < start + size + 2:
                break
            assert self._raw[start + size : start + size + 2] == b"\r\n", self._raw[start : start + 80]
            fresh += self._raw[start : start + size]
            self._decoded = start + size + 2
        self._body += fresh
        return fresh

    @property
    def terminated(self) -> bool:
        """The last chunk has arrived."""
        return self._raw.endswith(b"\r\n0\r\n\r\n")

    def read_some(self) -> None:
        """Wait for the next bytes."""
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self._raw += data
        self.ended = not data
        self.events += self._parser.feed(self._decode())

    def opened(self) -> "SseClient":
        """Wait for the opening comment."""
        while b"\nretry: " not in self.body:
            assert not self.ended, self.raw
            self.read_some()
        return self

    def take(self, count: int) -> list[SSEEvent]:
        """The next `count` events."""
        while len(self.events) < count:
            assert not self.ended, f"ended after {len(self.events)} of {count} events; {self.raw[-200:]!r}"
            self.read_some()
        taken, self.events = self.events[:count], self.events[count:]
        return taken

    def take_ids(self, count: int) -> list[str]:
        return [event.id for event in self.take(count)]

    def read_to_end(self) -> None:
        while not self.ended:
            self.read_some()
