"""Bodies that endpoints send but our replicas never do: with a known length, or compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli

from load.http1 import ChunkedBody, Http1Error, PlainBody, ResponseHead

Body = ChunkedBody | PlainBody
MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""The limit of one read after decompression; before decompression, a read has at most a few hundred thousand bytes."""
_ANY = zlib.MAX_WBITS | 32
"""gzip or zlib, depending on the first bytes."""


class Inflater(Protocol):
    """Decompresses a stream of bytes."""

    def __call__(self, data: bytes, /) -> bytes: ...


class SizedBody:
    """The framing of a body with a known length."""

    __slots__ = ("_left", "between", "ended", "reply")

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes
        self.between = False  # the end of the body differs from client to client
        self.ended = size_bytes == 0
        self.reply = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bytes that belong to the body."""
        piece = data[: self._left]
        self._left -= len(piece)
        self.ended = self._left == 0
        return [piece]


class CompressedBody:
    """A compressed body in another framing. Its bytes depend on all earlier ones, so no two clients share them."""

    __slots__ = ("_framing", "_inflate", "between", "reply")

    def __init__(self, framing: Body | SizedBody, inflate: Inflater) -> None:
        self._framing = framing
        self._inflate = inflate
        self.between = False
        self.reply = b""

    @property
    def ended(self) -> bool:
        """Whether the server closed the stream properly."""
        return self._framing.ended

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the pieces of body among them.

        Raises:
            Http1Error: the framing or the compression is not the one in the head.
        """
        try:
            return [self._inflate(piece) for piece in self._framing.feed(data)]
        except (zlib.error, brotli.error) as error:
            raise Http1Error(f"the compressed body is broken: {error}; is it what its Content-Encoding says?") from None


class Gzip:
    """Decompresses gzip, or zlib, which `deflate` means; a server may begin a new gzip member at each flush.

    Raises:
        Http1Error: one read expands to more than MAX_INFLATED_BYTES.
    """

    __slots__ = ("_member",)

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_ANY)

    def __call__(self, data: bytes, /) -> bytes:
        found = b""
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=_ANY)
            found += self._member.decompress(data, MAX_INFLATED_BYTES - len(found) + 1)
            if len(found) > MAX_INFLATED_BYTES:
                raise Http1Error(f"a compressed read expands to more than {MAX_INFLATED_BYTES:,} bytes")
            data = self._member.unused_data
        return found


def _brotli() -> Inflater:
    decompress: Inflater = brotli.Decompressor().process
    return decompress


_INFLATERS: dict[str, Callable[[], Inflater]] = {"gzip": Gzip, "x-gzip": Gzip, "deflate": Gzip, "br": _brotli}


def inflater_of(head: ResponseHead) -> Callable[[], Inflater] | None:
    """Return a factory for the body's decompressor; None if it is not compressed.

    Raises:
        Http1Error: its compression is unknown.
    """
    coding = head.headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in _INFLATERS:
        raise Http1Error(
            f"content-encoding {coding}, which was not requested; gzip, deflate and br are read: ask for them with --header 'Accept-Encoding: gzip'"
        )
    return _INFLATERS[coding]


def length_of(head: ResponseHead) -> int | None:
    """Return the body's length in bytes if the head has it, otherwise None."""
    text = head.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 and not head.chunked else None
