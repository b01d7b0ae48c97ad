"""Clients that come and go: `python -m tests.server.churn PORT COUNT`. CONCURRENT at a time.

Each leaves once its stream is open. They close with a reset: otherwise each address would be occupied for a minute, and
there are only 28,000.
"""

import itertools
import selectors
import socket
import struct
import sys
from collections.abc import Iterator

CONCURRENT = 200
_RESET = struct.pack("ii", 1, 0)
REQUESTS = (
    b"GET /sse?topic=events HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /sse?topic=events HTTP/1.0\r\n\r\n",
    b"GET /sse?topic=events&heartbeat=5&last_event_id=k-1 HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n",
    b"GET /ws?topic=events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET /sse?topic=room-%d HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /sse?topic=a%20b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
)


def opened(port: int, selector: selectors.BaseSelector, number: int) -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    request = REQUESTS[number % len(REQUESTS)]
    selector.register(sock, selectors.EVENT_WRITE, request % (number % 100) if b"%d" in request else request)


def churn(port: int, count: int) -> None:
    """Open and close this many."""
    numbers: Iterator[int] = iter(range(count))
    with selectors.DefaultSelector() as selector:
        for number in itertools.islice(numbers, CONCURRENT):
            opened(port, selector, number)
        while selector.get_map():
            for key, ready in selector.select(10):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if ready & selectors.EVENT_WRITE:
                    sock.sendall(key.data)
                    selector.modify(sock, selectors.EVENT_READ, key.data)
                    continue
                assert sock.recv(4096).startswith(b"HTTP/1.1 ") or b" 400 " in key.data
                selector.unregister(sock)
                sock.close()
                for number in itertools.islice(numbers, 1):
                    opened(port, selector, number)


if __name__ == "__main__":
    churn(int(sys.argv[1]), int(sys.argv[2]))
