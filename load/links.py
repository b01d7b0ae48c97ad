"""The connection to an endpoint below HTTP: a socket, or TLS over one; both non-blocking, without a greenlet.

TLS runs over memory buffers (`ssl.MemoryBIO`), so that it is read by the same watcher as a plain socket.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Protocol

READ_BYTES = 65_536


class StreamLink(Protocol):
    """An open connection. Each method raises OSError if it is lost; `ssl.SSLError` is one."""

    def shake(self) -> bool:
        """Continue the handshake before the first byte of HTTP; return whether it is done."""

    def queue(self, data: bytes) -> None:
        """Send these bytes with the next `flush`."""

    def flush(self) -> bool:
        """Send queued bytes, as many as the kernel accepts; return whether nothing is left."""

    def receive(self) -> bytes | None:
        """Return the received bytes; b'' at the end; None if nothing complete has arrived."""


class PlainLink:
    """A plain socket."""

    __slots__ = ("_sock", "_unsent")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._unsent = b""

    def shake(self) -> bool:
        """There is no handshake."""
        return True

    def queue(self, data: bytes) -> None:
        """Send these bytes with the next `flush`."""
        self._unsent += data

    def flush(self) -> bool:
        """Send queued bytes; return whether nothing is left."""
        self._unsent = _send(self._sock, self._unsent)
        return not self._unsent

    def receive(self) -> bytes | None:
        """Return the received bytes."""
        try:
            return os.read(self._sock.fileno(), READ_BYTES)
        except BlockingIOError:
            return None


class TlsLink:
    """TLS over a socket."""

    __slots__ = ("_incoming", "_outgoing", "_sock", "_tls", "_unsent")

    def __init__(self, sock: Any, context: ssl.SSLContext, server_name: str) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._unsent = b""

    def shake(self) -> bool:
        """Continue the handshake; return whether it is done."""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            data = None
        if data == b"":
            self._incoming.write_eof()
        elif data:
            self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:  # the alert with the reason must be sent, too
            self.flush()
        return True

    def queue(self, data: bytes) -> None:
        """Encrypt these bytes for the next `flush`."""
        self._tls.write(data)

    def flush(self) -> bool:
        """Send encrypted bytes; return whether nothing is left."""
        try:
            self._unsent = _send(self._sock, self._unsent + self._outgoing.read())
        except (BrokenPipeError, ConnectionResetError):
            self.receive()  # the server may have sent the reason why it closed; reading then raises it
            raise
        return not self._unsent

    def receive(self) -> bytes | None:
        """Return the decrypted bytes: all complete records of each read of the socket."""
        try:
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        if not data:
            return b""
        incoming, tls = self._incoming, self._tls
        incoming.write(data)
        pieces: list[bytes] = []
        try:
            while incoming.pending or tls.pending():
                piece = tls.read(READ_BYTES)
                if not piece:  # the server has announced the end
                    return b"".join(pieces)
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:
            self.flush()
        return b"".join(pieces) or None


def _send(sock: Any, data: bytes) -> bytes:
    """Send what the kernel accepts; return the rest."""
    if not data:
        return b""
    try:
        return data[sock.send(data) :]
    except BlockingIOError:
        return data
