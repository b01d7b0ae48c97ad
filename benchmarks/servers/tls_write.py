"""`python -m benchmarks.servers.tls_write CERTIFICATE PORT`: what raw_write does, over TLS, each line a record for each connection.

It is the server for the load's figure over TLS; its own CPU is not judged.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys

from benchmarks.servers.raw_write import HEAD, next_chunks


def main(certificate: str, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    clients: dict[int, ssl.SSLSocket] = {}
    listening: set[int] = set()
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    poll.register(0, select.EPOLLIN)
    rest = b""
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setblocking(False)
                secure = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                clients[secure.fileno()] = secure
                poll.register(secure.fileno(), select.EPOLLIN)
            elif fd == 0:
                if (found := next_chunks(rest)) is None:
                    return
                chunks, rest = found
                for chunk in chunks:
                    for client in listening:
                        clients[client].send(chunk)
            elif answer(clients[fd]):
                listening.add(fd)
            elif clients[fd].fileno() < 0:
                del clients[fd]
                listening.discard(fd)


def answer(client: ssl.SSLSocket) -> bool:
    """Take one step with what came; whether it was the request, which is answered. A client that is gone is closed."""
    try:
        client.do_handshake()  # nothing to do once it is over
        request = client.recv(4096)
        if b"GET " in request:
            client.send(HEAD)
            return True
        if request:
            return False
    except ssl.SSLWantReadError:
        return False
    except OSError:
        pass
    client.close()
    return False


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
