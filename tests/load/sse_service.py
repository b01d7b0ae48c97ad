"""A foreign SSE service, written by hand, in a thread: its errors are recorded, so that they can be compared with a result."""

import asyncio
import contextlib
import gzip
import json
import threading
import zlib

EVENTS = 100
TOKENS = 20


WHOLE = list(range(EVENTS))
LACKS = [number for number in range(EVENTS) if number not in (40, 41, 60)]
TWICE = [*range(50), 49, *range(50, EVENTS)]
SWAPPED = [*range(70), 71, 70, *range(72, EVENTS)]


class Service:
    """`/old/{topic}` redirects to `/events/{topic}`; `/answers` takes a POST and streams tokens."""

    def __init__(self, answers=0):
        self.requests = []
        """Of each request its line, headers and body."""
        self.stopped = 0
        """Clients that were told to stop."""
        self._plans = iter((WHOLE, LACKS, TWICE, SWAPPED))
        self._rest = None
        self._answers = answers
        self._begun = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self):
        self._thread.start()
        assert self._begun.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    def release(self):
        """Send to every client except the first."""
        self._loop.call_soon_threadsafe(self._rest.set)

    def _run(self):
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._rest, self._end = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._begun.set()
        await self._end.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _client(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.split("\r\n")[:-2]
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((line, headers, body))
            await self._answer(line.split()[1], writer)
        writer.close()

    async def _answer(self, path, writer):
        if path.startswith("/old/"):
            if len(self.requests) == 1:
                writer.write(b"HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
            else:
                target = path.replace("/old/", "/events/")
                writer.write(f"HTTP/1.1 307 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        elif path.startswith("/events/"):
            await self._events(writer)
        elif self._answers:
            self._answers -= 1
            await self._tokens(writer, whole=self._answers % 4 != 0)
        else:
            self.stopped += 1
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()

    async def _events(self, writer):
        plan = next(self._plans)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n")
        if plan is not WHOLE:
            await self._rest.wait()
        for number in plan:
            writer.write(f'id: urn:{number * 7919 % 1000}\ndata: {{"text":"news {number}"}}\n\n'.encode())
            await writer.drain()
        await asyncio.Future()

    async def _tokens(self, writer, whole):
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        compressor = zlib.compressobj(wbits=gzip.zlib.MAX_WBITS | 16)
        said = [json.dumps({"choices": [{"delta": {"content": str(number)}}]}) for number in range(TOKENS)]
        for data in [*said, *["[DONE]"] * whole]:
            piece = compressor.compress(f"data: {data}\n\n".encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
