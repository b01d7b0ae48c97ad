"""The ring on real sockets: each gets the same bytes, and what a socket does not accept is reported at once."""

import errno
import socket
from contextlib import ExitStack

import numpy as np
import pytest

from server.io_uring import ENTRIES, IoUring


@pytest.fixture(scope="module")
def ring():
    try:
        ring = IoUring()
    except OSError as error:
        pytest.skip(f"no io_uring: {error.strerror}")
    yield ring
    ring.close()


def pairs(stack, count):
    """This many connected pairs; each sends from its first to its second socket."""
    found = [socket.socketpair() for _ in range(count)]
    for pair in found:
        for end in pair:
            stack.enter_context(end)
            end.setblocking(False)
    return [one for one, _ in found], [other for _, other in found]


def descriptors(sockets):
    return np.array([one.fileno() for one in sockets], dtype=np.int32)


def fill(sender):
    try:
        while True:
            sender.send(bytes(65_536))
    except BlockingIOError:
        return


@pytest.mark.parametrize("count", [1, 7, ENTRIES - 1, ENTRIES, ENTRIES + 300])
def test_each_socket_gets_the_same_bytes_in_order_whatever_the_rings_position(ring, count):
    with ExitStack() as stack:
        senders, receivers = pairs(stack, count)
        frames = [b"event %d;" % i for i in range(3)]
        for frame in frames:
            assert ring.send(descriptors(senders), frame) == []
        assert [receiver.recv(1000) for receiver in receivers] == [b"".join(frames)] * count


def test_without_sockets_nothing_is_sent(ring):
    assert ring.send(descriptors([]), b"x") == []


def test_unsent_bytes_are_reported_for_their_socket_only(ring):
    with ExitStack() as stack:
        senders, receivers = pairs(stack, 5)
        receivers[1].close()
        fill(senders[3])
        closed = senders[4].fileno()
        senders[4].close()
        places = np.append(descriptors(senders[:4]), np.int32(closed))
        assert sorted(ring.send(places, b"event")) == [(1, -errno.EPIPE), (3, -errno.EAGAIN), (4, -errno.EBADF)]
        assert receivers[0].recv(100) == receivers[2].recv(100) == b"event"


def test_half_a_frame_is_reported_in_bytes(ring):
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sender = stack.enter_context(socket.create_connection(listener.getsockname()))
        receiver = stack.enter_context(listener.accept()[0])
        sender.setblocking(False)
        frame = bytes(20_000_000)
        [(_, taken)] = ring.send(descriptors([sender]), frame)
        assert 0 < taken < len(frame)
        received = 0
        while received < taken:
            received += len(receiver.recv(1_000_000))
        assert received == taken


def test_a_ring_that_failed_says_so():
    try:
        ring = IoUring()
    except OSError as error:
        pytest.skip(f"no io_uring: {error.strerror}")
    with socket.socketpair()[0] as one:
        assert ring.usable
        ring.close()
        with pytest.raises(OSError, match="io_uring_enter"):
            ring.send(descriptors([one]), b"event")
        assert not ring.usable
