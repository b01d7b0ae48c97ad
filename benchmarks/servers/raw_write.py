"""The floor: `python -m benchmarks.servers.raw_write PORT` writes each line of stdin to every connection with `os.write`, and does nothing else.

It has a fixed HTTP head, and no history, no limit for slow clients, no counters and no heartbeat.
"""

from __future__ import annotations

import os
import select
import socket
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_CLOCK = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
"""The load requests a clock; that connection is not a client."""


def next_chunks(rest: bytes) -> tuple[list[bytes], bytes] | None:
    """Read stdin; return each whole line as a chunk of the stream, and what follows the last one. None at the end."""
    data = os.read(0, 65_536)
    if not data:
        return None
    *lines, rest = (rest + data).split(b"\n")
    bodies = [b"data: %b\n\n" % line for line in lines]
    return [b"%x\r\n%b\r\n" % (len(body), body) for body in bodies], rest


def main(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    fds: dict[int, socket.socket] = {}
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    poll.register(0, select.EPOLLIN)
    rest = b""
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                fds[sock.fileno()] = sock
                poll.register(sock.fileno(), select.EPOLLIN)
            elif fd == 0:
                if (found := next_chunks(rest)) is None:
                    return
                chunks, rest = found
                for chunk in chunks:
                    for client in fds:
                        os.write(client, chunk)
            elif b"GET /clock" in (request := os.read(fd, 4096)):
                os.write(fd, NO_CLOCK)
                poll.unregister(fd)
                fds.pop(fd).close()
            elif b"GET " in request:
                os.write(fd, HEAD)
            elif not request:
                poll.unregister(fd)
                fds.pop(fd).close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
