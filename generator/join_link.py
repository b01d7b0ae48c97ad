"""A conductor's end of the connection to one generator: TLS, the greeting, and one document on a line."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from core.clock import now_ns
from core.contracts.codec import DocumentError, decode, encode
from core.contracts.load_status import WorkerUsage
from core.plain_text import plain
from generator.conductor import MemberNews, Order
from generator.join_proof import JoinNonces, new_nonce, why_rejected
from generator.messages import LONGEST_LINE_BYTES, SILENT_S, ConductorTells, MemberTells

GREETING_BYTES = 65_536
"""A stranger that sends a longer line is disconnected."""
_READ_BYTES, _PIECE_BYTES = 1 << 20, 1 << 16
_SEND_S = 10.0


class MemberConnection:
    """The connection to a generator that has joined, or may."""

    def __init__(self, sock: socket.socket, address: str, tls: ssl.SSLContext | None = None) -> None:
        """Raises OSError if the generator has closed it already."""
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.usage: WorkerUsage | None = None
        self.connected = False
        """Whether it has reached the broker."""
        self.wish: MemberTells | None = None
        """Its request to join, once it has come."""
        self.since_s = self.heard_s = time.monotonic()
        self._sock = sock
        self._address = address
        self._nonce = new_nonce()
        self._greeted = self._welcome = False
        self._rest = b""

    @property
    def name(self) -> str:
        """Its host and process, and the address from which it has joined."""
        return f"{plain(self.usage.name)} at {self._address}" if self.usage is not None else self._address

    def fileno(self) -> int:
        return self._sock.fileno()

    def greet(self) -> bool:
        """Say hello, after the TLS handshake if there is one. Return whether that is done; if not, call it again when there is news.

        Raises:
            OSError: the connection is lost, or the handshake failed.
        """
        if not self._greeted:
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.settimeout(0)
                try:
                    self._sock.do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    return False
            self.tell(ConductorTells(what="hello", nonce=self._nonce))
            self._greeted = True
        return True

    def answer(self, secret: str, run_name: str) -> str:
        """Answer its request to join. Return why it was rejected; empty if it is welcome."""
        assert self.wish is not None
        nonces = JoinNonces(self._nonce, self.wish.nonce, self.wish.text)
        reason = why_rejected(nonces, self.wish.proof, secret, run_name)
        self._welcome = not reason
        welcome = ConductorTells(what="welcome", proof=nonces.proof(secret, "conductor"))
        with contextlib.suppress(OSError):  # one that is gone is heard of next
            self.tell(welcome if self._welcome else ConductorTells(what="rejected", reason=reason))
        return reason

    def tell(self, told: ConductorTells) -> None:
        """Send a document; raises OSError if it is gone."""
        self._sock.settimeout(_SEND_S)
        self._sock.sendall(encode(told).encode() + b"\n")

    def send(self, order: Order) -> None:
        self.tell(ConductorTells(what=order.do, starts_ns=order.starts_ns, now_ns=now_ns()))

    def news(self) -> list[MemberNews]:
        if not self.greet():
            return []
        *lines, self._rest = (self._rest + self._received()).split(b"\n")
        if len(self._rest) > (LONGEST_LINE_BYTES if self._welcome else GREETING_BYTES):
            raise DocumentError(f"the generator {self.name}: a line without end; is it one of fanbench's?")
        self.heard_s = time.monotonic()
        told = [decode(MemberTells, line, f"the generator {self.name}") for line in lines]
        self.usage = next((one.usage for one in reversed(told) if one.usage is not None), self.usage)
        self.connected = self.connected or any(one.what == "connected" for one in told)
        self.wish = next((one for one in told if one.what == "joined"), self.wish)
        return [
            MemberNews(one.what, one.text, one.transient)
            for one in told
            if one.what != "alive" and one.what != "joined"
        ]

    def _received(self) -> bytes:
        """Read everything that has arrived, up to about _READ_BYTES; nothing if no TLS record is complete.

        TLS returns one record at a time, and a poll of the socket does not show a record that it has read already.
        """
        self._sock.settimeout(0)
        data = bytearray()
        try:
            while len(data) < _READ_BYTES:
                piece = self._sock.recv(_PIECE_BYTES)
                if not piece:
                    break
                data += piece
        except (BlockingIOError, ssl.SSLWantReadError):
            return bytes(data)
        except OSError:
            if not data:  # otherwise the next call raises
                raise
        if not data:
            raise EOFError
        return bytes(data)

    def silent_s(self) -> float:
        return max(0.0, time.monotonic() - self.heard_s - SILENT_S)

    def close(self) -> None:
        self._sock.close()
