"""A TCP proxy on 127.0.0.1 whose links can be cut, delayed or stalled: a bad network on demand.

It runs an event loop in a separate thread, so that blocking code and tests with their own loop can use it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TypeVar

_CHUNK = 65_536
_QUEUED_CHUNKS = 256
"""Chunks in flight in one direction while delayed; beyond that the sender sees backpressure, as on a real link."""
_KERNEL_BYTES = 256 * 1024
"""The kernel's receive buffer of each end: left to grow to megabytes, it would hide a stalled link from the sender."""
T = TypeVar("T")
_Queue = asyncio.Queue[tuple[float, bytes]]


class TcpProxy:
    """Passes connections on to `target` (`host:port`); leaving the `with` block closes everything.

    With `tls` it uses TLS towards its clients and plain TCP to the target. Its methods can be called from any thread
    and return once they took effect.
    """

    def __init__(
        self,
        target: str,
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
        *,
        tap: Callable[[bytes], None] | None = None,
        listen: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        """`target` is `host:port`, or only the host if `port` is given.

        `tap` is called, in the proxy's thread, with each piece that a client sends; `listen` is a loopback address and a
        port, 0 for a free one.
        """
        self._tap = tap
        self._listen_on = listen
        host, _, after = target.rpartition(":") if port is None else (target, "", str(port))
        self._tls = tls
        self._target = (host.strip("[]"), int(after))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[asyncio.Task[None]] = set()
        self._there_s = self._back_s = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self._accepted = 0

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self._port = self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """`127.0.0.1:port`, to use instead of the target."""
        return f"{self._listen_on[0]}:{self._port}"

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self._port

    @property
    def connections(self) -> int:
        """The number of open links."""
        return len(self._links)

    @property
    def accepted(self) -> int:
        """The number of connections so far, including those that were cut at once."""
        return self._accepted

    def cut(self) -> None:
        """Reset every connection, and each new one at once, until `restore`."""
        self._call(self._do_cut())

    def delay(self, seconds: float, back_s: float | None = None) -> None:
        """Delay each byte this long in each direction, or by `back_s` towards the client, in order."""
        self._call(self._set(delays_s=(seconds, seconds if back_s is None else back_s)))

    def stall(self) -> None:
        """Stop reading and passing on in both directions, with every connection open: senders soon see backpressure."""
        self._call(self._set(flowing=False))

    def hold(self, seconds: float) -> None:
        """Like `stall`, for exactly this long; then forward what was held back."""
        self._call(self._hold(seconds))

    def restore(self, *, flowing: bool = True) -> None:
        """End the disturbance, except a stall; cut connections must be reconnected by their ends."""
        self._call(self._set(delays_s=(0.0, 0.0), flowing=flowing, cut=False))

    def _call(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, *self._listen_on, limit=_CHUNK, ssl=self._tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._drop_links()

    async def _do_cut(self) -> None:
        self._cut = True
        await self._drop_links()

    async def _drop_links(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)

    async def _set(
        self, delays_s: tuple[float, float] | None = None, flowing: bool | None = None, cut: bool | None = None
    ) -> None:
        if delays_s is not None:
            self._there_s, self._back_s = delays_s
        if flowing is not None:
            self._flowing.set() if flowing else self._flowing.clear()
        if cut is not None:
            self._cut = cut

    async def _hold(self, seconds: float) -> None:
        self._flowing.clear()
        self._loop.call_later(seconds, self._flowing.set)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        self._accepted += 1
        try:
            if not self._cut:
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # refused by the target, reset by an end, or cut by us: the link has ended
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target, limit=_CHUNK)
        for end in (writer, far_writer):
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
        pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer, lambda: self._there_s, self._tap)),
            asyncio.ensure_future(self._pump(far_reader, writer, lambda: self._back_s)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        delay_s: Callable[[], float],
        tap: Callable[[bytes], None] | None = None,
    ) -> None:
        queue: _Queue = asyncio.Queue(_QUEUED_CHUNKS)
        sending = asyncio.ensure_future(self._send(queue, writer))
        try:
            while data := await self._read(reader):
                if tap is not None:
                    tap(data)
                await queue.put((self._loop.time() + delay_s(), data))
            await queue.put((0.0, b""))
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        await self._flowing.wait()
        return await reader.read(_CHUNK)

    async def _send(self, queue: _Queue, writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._flowing.wait()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
