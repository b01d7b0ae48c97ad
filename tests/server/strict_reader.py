"""A reader that trusts nothing: `python -m tests.server.strict_reader PORT STREAM COUNT`, over COUNT connections of every kind.

It verifies every byte: framing, ids without holes, and the topic and padding of each event. Each connection resumes
after an older event of its topic, so it receives events to verify at once.
"""

import itertools
import json
import random
import selectors
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator

TOPICS = [f"room-{number}" for number in range(100)]
KEPT = 60
"""Events that each topic has before the reader starts."""
EACH = 24
"""Events after which a connection is left."""
CONCURRENT = 100
KINDS = ("chunked", "chunked", "HTTP/1.0", "WebSocket", "slow", "half-closing", "dropped")
_RESET = struct.pack("ii", 1, 0)
_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


def pad_of(topic: str, seq: int) -> str:
    """An event's padding, which no other event has."""
    return f"<{topic}:{seq}>" * (3 + seq % 40)


class Connection:
    """One connection, from its first byte to its last."""

    def __init__(self, port: int, kind: str, topic: str, stream: str, after: int) -> None:
        self.kind, self.topic, self.stream, self.seq = kind, topic, stream, after
        self.events = 0
        self._raw, self._body = bytearray(), bytearray()
        self._headed = False
        self.sock = socket.socket()
        if kind in ("slow", "dropped"):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(self._request(f"topic={topic}&last_event_id={stream}-{after}".encode()))
        if kind == "half-closing":
            self.sock.shutdown(socket.SHUT_WR)
        self.sock.setblocking(False)

    def _request(self, query: bytes) -> bytes:
        if self.kind == "HTTP/1.0":
            return b"GET /sse?" + query + b" HTTP/1.0\r\n\r\n"
        if self.kind == "WebSocket":
            return (
                b"GET /ws?"
                + query
                + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                + _KEY
                + b"\r\n"
            )
        return b"GET /sse?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n"

    def read(self) -> bool:
        """Read what is there and verify it; False when this connection is done."""
        try:
            data = self.sock.recv(900 if self.kind == "slow" else 65_536)
        except BlockingIOError:
            return True
        self._raw += data
        if not self._headed:
            head, end, rest = bytes(self._raw).partition(b"\r\n\r\n")
            if not end:
                assert data, (self.kind, bytes(self._raw))
                return True
            self._headed = True
            assert head.startswith(b"HTTP/1.1 101 " if self.kind == "WebSocket" else b"HTTP/1.1 200 "), head
            self._raw = bytearray(rest)
        {"WebSocket": self._frames, "HTTP/1.0": self._plain}.get(self.kind, self._chunks)()
        assert data or self.kind == "half-closing", (self.kind, self.events)
        return bool(data) and self.events < EACH

    def _plain(self) -> None:
        self._body += self._raw
        self._raw.clear()
        self._blocks()

    def _chunks(self) -> None:
        while (end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:end], 16)
            if len(self._raw) < end + size + 4:
                break
            assert self._raw[end + 2 + size : end + size + 4] == b"\r\n", bytes(self._raw[:80])
            self._body += self._raw[end + 2 : end + 2 + size]
            del self._raw[: end + size + 4]
        self._blocks()

    def _blocks(self) -> None:
        while (end := self._body.find(b"\n\n")) >= 0:
            lines = bytes(self._body[:end]).split(b"\n")
            del self._body[: end + 2]
            lines = [line for line in lines if not line.startswith((b":", b"retry: "))]
            first, second = lines
            assert first.startswith(b"id: "), lines
            assert second.startswith(b"data: "), lines
            self._event(second[6:])
            assert first[4:].decode() == f"{self.stream}-{self.seq}", lines

    def _frames(self) -> None:
        while len(self._raw) >= 2:
            size, start = self._raw[1], 2
            if size == 126:
                size, start = int.from_bytes(self._raw[2:4], "big"), 4
            assert size < 126 or start == 4, "none of ours is larger"
            if len(self._raw) < start + size:
                return
            payload = bytes(self._raw[start : start + size])
            code = self._raw[0]
            del self._raw[: start + size]
            assert code in (0x81, 0x89), code
            if code == 0x81 and not payload.startswith(b'{"event":"open"'):
                self._event(payload)

    def _event(self, data: bytes) -> None:
        fields = json.loads(data)
        self.seq += 1
        self.events += 1
        assert (fields["stream"], fields["topic"], fields["seq"]) == (self.stream, self.topic, self.seq), fields
        assert fields["pad"] == pad_of(self.topic, self.seq), fields


def verify(port: int, stream: str, count: int) -> Counter[str]:
    """The number of verified events on connections of each kind."""
    rng, latest, verified = random.Random(count), dict.fromkeys(TOPICS, KEPT - 1), Counter[str]()
    numbers: Iterator[int] = iter(range(count))

    def begin(selector: selectors.BaseSelector) -> None:
        for number in itertools.islice(numbers, 1):
            topic, kind = rng.choice(TOPICS), KINDS[number % len(KINDS)]
            connection = Connection(port, kind, topic, stream, latest[topic] - EACH - rng.randrange(20))
            if kind == "dropped" and rng.random() < 0.5:
                connection.sock.close()  # with the bytes in flight to it
                verified["dropped at once"] += 1
                begin(selector)
                return
            selector.register(connection.sock, selectors.EVENT_READ, connection)

    with selectors.DefaultSelector() as selector:
        for _ in range(CONCURRENT):
            begin(selector)
        while selector.get_map():
            for key, _ in selector.select(20):
                connection: Connection = key.data
                if not connection.read():
                    verified[connection.kind] += connection.events
                    latest[connection.topic] = max(latest[connection.topic], connection.seq)
                    selector.unregister(connection.sock)
                    connection.sock.close()
                    begin(selector)
    return verified


if __name__ == "__main__":
    print(json.dumps(verify(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
