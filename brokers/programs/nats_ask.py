"""One request to a nats-server that fanbench started, with a plain socket."""

from __future__ import annotations

import json
import socket
from typing import Any, BinaryIO

from brokers.programs.networks import host_of, port_of

_TIMEOUT_S = 2.0
_INBOX = "_INBOX.fanbench-ask"


def ask(address: str, subject: str, payload: str = "") -> dict[str, Any]:
    """Send a request to the server at host:port and return its JSON answer. Blocks.

    Raises:
        OSError: nobody answers.
    """
    with socket.create_connection((host_of(address), port_of(address)), _TIMEOUT_S) as connection:
        connection.settimeout(_TIMEOUT_S)
        with connection.makefile("rb") as stream:
            _line(stream)
            data = payload.encode()
            request = f"SUB {_INBOX} 1\r\nPUB {subject} {_INBOX} {len(data)}\r\n".encode() + data + b"\r\n"
            connection.sendall(b'CONNECT {"verbose":false,"lang":"fanbench","version":"1"}\r\n' + request)
            while not (line := _line(stream)).startswith(b"MSG "):
                if line.startswith(b"-ERR"):
                    raise OSError(line.decode().strip())
            found: dict[str, Any] = json.loads(stream.read(int(line.split()[-1])))
            return found


def ask_greeting(address: str) -> dict[str, Any]:
    """The INFO that a server sends when it is dialled. Raises OSError if nobody answers."""
    with socket.create_connection((host_of(address), port_of(address)), _TIMEOUT_S) as connection:
        connection.settimeout(_TIMEOUT_S)
        with connection.makefile("rb") as stream:
            found: dict[str, Any] = json.loads(_line(stream).removeprefix(b"INFO "))
            return found


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line:
        raise OSError("connection lost")
    return line
