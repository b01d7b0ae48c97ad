"""The generator compares its clock with the replicas', and its events carry the result."""

import asyncio
import json
import socket
import struct
import time

import pytest
import uvloop

from core.clock_offset import OffsetInterval
from core.errors import UsageError
from core.host_clock import ClockMark, HostClock, mark_text, short_name
from core.stamp import Stamp, decode
from generator.clocks import ReplicaClocks, compared, read_address
from generator.payload import build, filling

STAMP = Stamp("abc", 1, "events", "measure", 10**18, 10**18)
MS = 1_000_000


class ClockServer:
    """Answers GET /clock over HTTP, with its clock this far ahead."""

    def __init__(self, name: str, ahead_ns: int, host: str = "127.0.0.1") -> None:
        self.name = name
        self.host = host
        self.heads: list[bytes] = []
        self.ahead_ns = ahead_ns
        self.url = ""

    async def __aenter__(self) -> "ClockServer":
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                body = json.dumps({"server": self.name, "now_ns": time.time_ns() + self.ahead_ns}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def _compared_with(*servers: ClockServer) -> ReplicaClocks:
    clocks = ReplicaClocks()
    async with compared(clocks, [server.url for server in servers]), asyncio.timeout(40):
        while len(clocks.offsets()) < len(servers):
            await asyncio.sleep(0.01)
        clocks.renew()
    return clocks


def test_every_replica_is_compared_and_the_mark_is_against_the_lowest_name() -> None:
    async def run() -> ReplicaClocks:
        async with ClockServer("replica-2", -20 * MS) as second, ClockServer("replica-1", 500 * MS) as first:
            return await _compared_with(second, first)

    clocks = asyncio.run(run())
    offsets = clocks.offsets()
    for name, true_ms in (("replica-1", 500), ("replica-2", -20)):
        assert abs(offsets[name].ahead_ms - true_ms) <= offsets[name].bound_ms
    mark = ClockMark.parse(mark_text(clocks.mark))
    assert mark is not None
    assert mark.ahead is not None
    assert (mark.server, mark.ahead.holds(500 * MS)) == (short_name("replica-1"), True)
    assert mark.clock.is_same(HostClock.read())


def test_a_replica_at_an_ipv6_address_gets_a_valid_host_header() -> None:
    async def run() -> tuple[str, bytes]:
        async with ClockServer("replica-1", 0, "::1") as server:
            await _compared_with(server)
            return server.url, server.heads[0]

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no ::1")
    url, head = asyncio.run(run())
    assert b"\r\nHost: %b\r\n" % url.removeprefix("http://").encode() in head


class ResettingServer(ClockServer):
    """Resets each connection once its first answer was read, as a network does."""

    def __init__(self) -> None:
        super().__init__("replica-1", 0)
        self.read = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps({"server": self.name, "now_ns": time.time_ns()}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await self.read.wait()
        self.read.clear()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def test_a_connection_that_is_reset_between_two_answers_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with ResettingServer() as server:
            monkeypatch.setattr(ReplicaClocks, "heard", lambda *_: server.read.set())
            async with compared(ReplicaClocks(), [server.url]), asyncio.timeout(40):
                while len(server.heads) < 2:
                    await asyncio.sleep(0.01)

    uvloop.run(run())  # its loop raises an error for a write to a closed connection


def test_without_replicas_the_mark_says_whose_clock_it_is() -> None:
    mark = ClockMark.parse(mark_text(ReplicaClocks().mark))
    assert mark is not None
    assert (mark.clock.is_same(HostClock.read()), mark.ahead) == (True, None)


@pytest.mark.parametrize("url", ["https://x", "x:8000", "http://", "http://x:port"])
def test_an_address_that_is_not_a_replica_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"FANBENCH_REPLICAS: .*give http://HOST:PORT"):
        read_address(url)


@pytest.mark.parametrize("size", [0, 1, 150, 200, 5_000])
@pytest.mark.parametrize("form", ["readable", "compact"])
def test_the_mark_replaces_padding_and_adds_no_bytes(size: int, form: str) -> None:
    mark = ClockMark(HostClock.read(), "ab12", OffsetInterval(-5 * MS, 5 * MS)).encode()
    marked, plain = (build(STAMP, size, form, text) for text in (mark, ""))  # type: ignore[arg-type]
    assert len(marked) == len(plain)
    assert decode(marked, "events").seq == STAMP.seq
    assert (mark.encode() in marked) is (
        len(filling(size - len(build(STAMP, 0)) if form == "readable" else size, "")) >= len(mark)
    )
