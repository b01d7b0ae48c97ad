"""A TCP proxy that can cut, freeze and delay what passes: for faults on a link, and for tests that inject them.

It runs in a thread with an event loop of its own, so that synchronous and asynchronous code can use it alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

_CHUNK_BYTES = 65_536
_HELD_CHUNKS = 4_096
T = TypeVar("T")


class TcpProxy:
    """Listens on a free port of 127.0.0.1 and passes everything on to a target.

    `tls` makes it speak TLS to its clients and plain TCP to its target. Leaving the `with` block ends it.
    """

    def __init__(self, host: str, port: int, *, delay_s: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self._target = (host, port)
        self._tls = tls
        self._delay_s = delay_s
        self._is_cut = False
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._moving = asyncio.Event()
        self._moving.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]
        """Where clients connect to, on 127.0.0.1."""

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)

    def cut(self) -> None:
        """Reset every connection, and every new one until `heal`."""
        self._is_cut = True
        self._call(self._on_loop(self._reset))

    def heal(self) -> None:
        """Let new connections pass, and what is frozen move."""
        self._is_cut = False
        self._call(self._on_loop(self._moving.set))

    def freeze(self) -> None:
        """Hold back all that is sent, and tell nobody, until `heal`: a cable that was pulled."""
        self._call(self._on_loop(self._moving.clear))

    def delay(self, seconds: float) -> None:
        """From now on each way takes this much longer, in both directions."""
        self._delay_s = seconds

    @property
    def connections(self) -> int:
        """How many connections pass now."""
        return len(self._links) // 2

    def _reset(self) -> None:
        for writer in self._links:
            writer.transport.abort()

    async def _on_loop(self, action: Callable[[], None]) -> None:
        action()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, onward_writer}
        self._links |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, onward_writer))
                tasks.create_task(self._pass_on(onward_reader, writer))
        except* (OSError, ssl.SSLError):
            pass
        finally:
            self._links -= ends
            for end in ends:
                end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction: chunks leave in order, each `_delay_s` after it came."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD_CHUNKS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(held, writer))
            while chunk := await reader.read(_CHUNK_BYTES):
                await held.put((self._loop.time() + self._delay_s, chunk))
            await held.put((self._loop.time() + self._delay_s, b""))

    async def _write(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await held.get()
            wait_s = due - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            await self._moving.wait()
            if not chunk:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(chunk)
            await writer.drain()

    def stop(self) -> None:
        """Close everything and end the thread. Idempotent."""
        if self._loop.is_closed():
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*others, return_exceptions=True)

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
