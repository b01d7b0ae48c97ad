"""The benchmarks' own reader counts exactly, wherever the stream is cut."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from benchmarks.window import EpollReader
from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
STREAM = b": open\n\nid: s-1\ndata: {}\n\n:\n\ndata:1\n\nid: s-2\ndata: {}\n\n"


@contextlib.contextmanager
def connected(clients: int, head: bytes = HEAD) -> Iterator[tuple[EpollReader, list[socket.socket]]]:
    """A reader with open streams, and the server's ends of these streams."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, contextlib.ExitStack() as stack:
        reader = EpollReader(listener.getsockname()[1], clients, None)
        ends = []
        for _ in range(clients):
            end = stack.enter_context(listener.accept()[0])
            assert end.recv(4096).startswith(b"GET /sse HTTP/1.1\r\n")
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.sendall(head)
            ends.append(end)
        yield stack.enter_context(reader), ends


def test_every_event_is_counted_once_wherever_it_is_cut() -> None:
    with connected(1) as (reader, [end]):
        sent = 0
        for cut in range(1, len(STREAM)):
            for part in (STREAM[:cut], STREAM[cut:]):
                end.sendall(part)
                sent += len(part)
                # Each part is read separately.
                wait_until(lambda sent=sent: reader.count()["bytes"] == sent, "the part is read")
        assert reader.delivered() == 3 * (len(STREAM) - 1)


def test_cuts_of_different_streams_are_kept_apart() -> None:
    with connected(3) as (reader, ends):
        for at in range(len(STREAM)):
            for end in ends:
                end.sendall(STREAM[at : at + 1])
        wait_until(lambda: reader.count()["bytes"] == 3 * len(STREAM), "everything is read")
        assert reader.count() == {"events": 9, "bytes": 3 * len(STREAM), "open": 3}


def test_bytes_after_the_head_count() -> None:
    with connected(1, HEAD + b"data: early\n\n") as (reader, _):
        assert reader.delivered() == 1


def test_a_stream_that_ends_is_reported() -> None:
    with connected(2) as (reader, ends):
        ends[0].close()
        assert wait_until(lambda: reader.count()["open"] == 1, "one stream has ended")


def test_something_else_than_a_stream_ends_the_reader() -> None:
    with pytest.raises(Exception, match="the reader ended"), connected(1, b"HTTP/1.1 503 No\r\n\r\n"):
        pass
