"""One command to a Redis, Valkey or Sentinel that fanbench started, with a plain socket instead of redis-cli."""

from __future__ import annotations

import socket
from typing import BinaryIO

from brokers.programs.networks import host_of, port_of
from core.errors import FanbenchError

_TIMEOUT_S = 2.0

Reply = str | int | list["Reply"] | None


def ask(address: str, *words: str) -> Reply:
    """Send a command to the server at host:port and return its reply (RESP2). Blocks.

    Raises:
        FanbenchError: the server refuses the command; the message contains its text.
        OSError: nobody answers.
    """
    command = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    with socket.create_connection((host_of(address), port_of(address)), _TIMEOUT_S) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.sendall(command.encode())
        with connection.makefile("rb") as stream:
            return _read(stream)


def ask_pairs(address: str, *words: str) -> dict[str, str]:
    """Parse a reply of alternating names and values."""
    reply = ask(address, *words)
    assert isinstance(reply, list)
    return {str(name): str(value) for name, value in zip(reply[::2], reply[1::2], strict=True)}


def ask_info(address: str, *words: str) -> dict[str, str]:
    """Parse a reply of lines `name:value`, like that of INFO and CLUSTER INFO."""
    lines = str(ask(address, *words)).split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _read(stream: BinaryIO) -> Reply:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise OSError("connection lost")
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise FanbenchError(text)
    if kind == b"+":
        return text
    if kind == b":":
        return int(text)
    if text == "-1":
        return None
    if kind == b"*":
        return [_read(stream) for _ in range(int(text))]
    body = stream.read(int(text) + 2)
    return body[:-2].decode(errors="replace")
