"""The benchmarks' own readers count exactly, wherever the stream is cut."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.receive import RING
from benchmarks.ring_reader import ReceiveRing
from benchmarks.window import READER, EpollReader
from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
STREAM = b": open\n\nid: s-1\ndata: {}\n\n:\n\ndata:1\n\nid: s-2\ndata: {}\n\n"


@pytest.fixture(params=[READER, RING], ids=["epoll", "io_uring"])
def program(request: pytest.FixtureRequest) -> Path:
    """Each reader that this kernel allows."""
    found: Path = request.param
    if found == RING:
        try:
            ReceiveRing().close()
        except OSError as error:
            pytest.skip(f"no io_uring that receives: {error.strerror}")
    return found


@contextlib.contextmanager
def connected(
    clients: int, head: bytes = HEAD, program: Path = READER
) -> Iterator[tuple[EpollReader, list[socket.socket]]]:
    """A reader with open streams, and the server's ends of these streams."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, contextlib.ExitStack() as stack:
        reader = EpollReader(listener.getsockname()[1], clients, None, reader=program)
        ends = []
        for _ in range(clients):
            end = stack.enter_context(listener.accept()[0])
            assert end.recv(4096).startswith(b"GET /sse HTTP/1.1\r\n")
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.sendall(head)
            ends.append(end)
        yield stack.enter_context(reader), ends


def test_every_event_is_counted_once_wherever_it_is_cut(program: Path) -> None:
    with connected(1, program=program) as (reader, [end]):
        sent = 0
        for cut in range(1, len(STREAM)):
            for part in (STREAM[:cut], STREAM[cut:]):
                end.sendall(part)
                sent += len(part)
                # Each part is read separately.
                wait_until(lambda sent=sent: reader.count()["bytes"] == sent, "the part is read")
        assert reader.delivered() == 3 * (len(STREAM) - 1)


def test_cuts_of_different_streams_are_kept_apart(program: Path) -> None:
    with connected(3, program=program) as (reader, ends):
        for at in range(len(STREAM)):
            for end in ends:
                end.sendall(STREAM[at : at + 1])
        wait_until(lambda: reader.count()["bytes"] == 3 * len(STREAM), "everything is read")
        assert reader.count() == {"events": 9, "bytes": 3 * len(STREAM), "open": 3}


def test_bytes_after_the_head_count() -> None:
    with connected(1, HEAD + b"data: early\n\n") as (reader, _):
        assert reader.delivered() == 1


def test_a_stream_that_ends_is_reported(program: Path) -> None:
    with connected(2, program=program) as (reader, ends):
        ends[0].close()
        assert wait_until(lambda: reader.count()["open"] == 1, "one stream has ended")


def test_anything_but_a_stream_ends_the_reader() -> None:
    with pytest.raises(Exception, match="the reader ended"), connected(1, b"HTTP/1.1 503 No\r\n\r\n"):
        pass
