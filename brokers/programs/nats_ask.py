"""One request to a nats-server of ours, with a plain socket."""

from __future__ import annotations

import json
import socket
from typing import Any, BinaryIO

_TIMEOUT_S = 2.0
_INBOX = "_INBOX.fanbench-ask"


def ask(port: int, subject: str, payload: str = "") -> dict[str, Any]:
    """The answer to a request, JSON. Blocks.

    Raises:
        OSError: nobody answers.
    """
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
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


def ask_greeting(port: int) -> dict[str, Any]:
    """What a server says of itself when it is dialled. Raises OSError if nobody answers."""
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
        connection.settimeout(_TIMEOUT_S)
        with connection.makefile("rb") as stream:
            found: dict[str, Any] = json.loads(_line(stream).removeprefix(b"INFO "))
            return found


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line:
        raise OSError("connection lost")
    return line
