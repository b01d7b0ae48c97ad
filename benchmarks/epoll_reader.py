"""The reader of the benchmarks: `python epoll_reader.py HOST PORT PATH CLIENTS PAUSE_MS` opens that many event streams.

It imports nothing from fanbench, so that it can judge both the server and the load. It parses HTTP only up to the end of
a head, and counts bytes and events (by `data:`, which no payload here contains). It prints one JSON line when all
streams are open, and for each line on stdin one with the counts so far; it ends with stdin. It sleeps PAUSE_MS between
reads: a reader that waits in epoll is woken by each write, and on one machine the server pays for that wake-up, unlike
with remote clients.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import Any

READ_BYTES = 65_536
OPENING_AT_ONCE = 256
MARK = b"data:"
KEEP = len(MARK) - 1


class Streams:
    """All connections of the process, and their counts."""

    def __init__(self, host: str, port: int, path: str, clients: int) -> None:
        self.events = 0
        self.bytes = 0
        self.closed = 0
        self._address = (host, port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode()
        self._to_open = clients
        self._heads: dict[int, bytes] = {}
        self.tails: dict[int, bytes] = {}
        self.sockets: dict[int, socket.socket] = {}
        self._poll = select.epoll()

    def open_all(self) -> float:
        """Open every stream, a limited number at a time; return the seconds until the last head arrived."""
        started = time.monotonic()
        while self._to_open or self._heads:
            while self._to_open and len(self._heads) < OPENING_AT_ONCE:
                self._open()
            for fd, _ in self._poll.poll():
                self._read(fd)
            if self.closed:
                sys.exit(f"reader: a stream ended while others were opened; see the log of {self._address}")
        return time.monotonic() - started

    def _open(self) -> None:
        sock = socket.create_connection(self._address)
        sock.sendall(self._request)
        sock.setblocking(False)
        self._to_open -= 1
        self.sockets[sock.fileno()] = sock
        self._heads[sock.fileno()] = b""
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, fd: int) -> None:
        data = os.read(fd, READ_BYTES)
        if not data:
            self.closed += 1
            self._poll.unregister(fd)
            self.sockets.pop(fd).close()
            self._heads.pop(fd, None)
            return
        if fd in self._heads:
            head, end, data = (self._heads[fd] + data).partition(b"\r\n\r\n")
            if not end:
                self._heads[fd] = head
                return
            del self._heads[fd]
            if b" 200 " not in head.partition(b"\r\n")[0]:
                sys.exit(f"reader: {head[:100]!r} instead of an event stream")
        self.bytes += len(data)
        if self.tails:
            data = self.tails.pop(fd, b"") + data
        self.events += data.count(MARK)
        if data and data[-1] != 10:  # a mark may be cut; it has no line end, so nothing before a line end is kept
            self.tails[fd] = data[-KEEP:]

    def follow(self, pause_s: float) -> None:
        """Read and count until stdin ends."""
        control = sys.stdin.fileno()
        self._poll.register(control, select.EPOLLIN)
        poll, read = self._poll.poll, self._read
        while True:
            if pause_s:
                time.sleep(pause_s)
            for fd, _ in poll(maxevents=65_536):
                if fd != control:
                    read(fd)
                elif os.read(control, 4096):
                    say(events=self.events, bytes=self.bytes, open=len(self.sockets))
                else:
                    return


def say(**fields: Any) -> None:
    """One JSON line on stdout."""
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    streams = Streams(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    say(opened_s=streams.open_all())
    streams.follow(float(sys.argv[5]) / 1000)
