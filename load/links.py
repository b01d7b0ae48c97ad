"""The connection to an endpoint below HTTP: a socket, or TLS over one; both non-blocking, without a greenlet.

TLS runs over memory buffers (`ssl.MemoryBIO`), so that it is read by the same watcher as a plain socket.
"""

from __future__ import annotations

import os
import ssl
from functools import cache
from typing import Any, Protocol

from core.endpoint.request import TlsSettings
from core.errors import UsageError

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
        """Go on with the handshake; whether it is done."""
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
        finally:  # the alert with the reason must leave, too
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


@cache  # each stream of a user calls this
def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The settings that all TLS connections of a process share: trusted authorities, and the clients' certificate.

    Raises:
        UsageError: a file cannot be read, or its content is wrong.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--ca-file {settings.ca_file!r}: {_why(error)}; give a PEM file of certificates, on the host of each process that holds clients"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"--client-cert {settings.cert_file!r}: {_why(error)}; give a PEM certificate, and its key without a password in the same file or "
                "with --client-key, on the host of each process that holds clients"
            ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def why_lost(error: OSError) -> str:
    """Return why a connection failed; for TLS, with the next step."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the server's certificate is refused: {error.verify_message}; see --ca-file and --sni"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the server hung up; does it speak TLS on this port?"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}{_step(error.reason or '')}"
    return error.strerror or str(error)


def _step(reason: str) -> str:
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        return "; the server speaks no TLS on this port: use http://"
    if "APPLICATION_PROTOCOL" in reason:
        return "; the server offers no HTTP/1.1"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason or "BAD_CERTIFICATE" in reason:
        return "; it may want a client certificate: --client-cert"
    return ""
