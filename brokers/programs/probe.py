"""Protocol round trips with plain sockets: a broker is ready when it answers, not when its port is open."""

from __future__ import annotations

import socket

_TIMEOUT_S = 1.0


def answers(port: int, exchange: list[tuple[bytes, bytes]], host: str = "127.0.0.1") -> bool:
    """Whether the peer answers each `send` with bytes that contain `expect`.

    An empty `send` if the peer speaks first.
    """
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as connection:
            connection.settimeout(_TIMEOUT_S)
            for send, expect in exchange:
                connection.sendall(send)
                received = b""
                while expect not in received:
                    chunk = connection.recv(4096)
                    if not chunk:
                        return False
                    received += chunk
    except OSError:
        return False
    return True


def redis_answers(port: int, host: str = "127.0.0.1") -> bool:
    """Send PING, expect PONG or a demand for a password. While the server loads its data it answers -LOADING."""
    return any(answers(port, [(b"PING\r\n", said)], host) for said in (b"+PONG\r\n", b"-NOAUTH"))


def nats_answers(port: int, host: str = "127.0.0.1") -> bool:
    """Expect INFO, send PING, expect PONG or a demand for a password."""
    greeting = (b"", b"INFO ")
    ping = b'CONNECT {"verbose":false}\r\nPING\r\n'
    return any(answers(port, [greeting, (ping, said)], host) for said in (b"PONG\r\n", b"-ERR 'Authorization"))


def jetstream_answers(port: int) -> bool:
    """Send a request to JetStream's API, which answers a moment later than the server."""
    request = b"SUB _INBOX.probe 1\r\nPUB $JS.API.INFO _INBOX.probe 0\r\n\r\n"
    return answers(port, [(b"", b"INFO "), (b'CONNECT {"verbose":false}\r\n' + request, b"io.nats.jetstream.api")])


def mqtt_answers(port: int) -> bool:
    """MQTT 3.1.1: send CONNECT with an empty client id and a clean session, expect CONNACK with any code."""
    return answers(port, [(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00", b"\x20\x02")])


def amqp_answers(port: int, host: str = "127.0.0.1") -> bool:
    """AMQP 0-9-1: protocol header, connection.start."""
    return answers(port, [(b"AMQP\x00\x00\x09\x01", b"\x00\x0a\x00\x0a\x00\x09")], host)


def postgres_answers(port: int, user: str = "fanbench", database: str = "postgres") -> bool:
    """Protocol 3.0: send a startup message, expect a request for a password or for none.

    While the server starts or recovers it answers with an error.
    """
    words = b"\x00".join((b"user", user.encode(), b"database", database.encode(), b"\x00"))
    message = (8 + len(words)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + words
    return answers(port, [(message, b"R\x00\x00\x00")])


def http_answers(port: int) -> bool:
    """HTTP: expect any answer, with any status."""
    return answers(port, [(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.")])
