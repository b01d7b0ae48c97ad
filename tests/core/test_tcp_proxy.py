"""The proxy between two real sockets."""

import socket
import threading
import time

import pytest

from core.tcp_proxy import TcpProxy


@pytest.fixture
def echo():
    """A server that echoes what it receives, on its own port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=reply, args=(connection,), daemon=True).start()

    def reply(connection):
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def connect(proxy):
    host, _, port = proxy.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def round_trip(connection, data=b"hello"):
    connection.sendall(data)
    found = b""
    while len(found) < len(data):
        found += connection.recv(65_536)
    return found


def test_bytes_pass_unchanged_and_in_order(echo):
    data = bytes(range(256)) * 8000  # 2 MB, far more than any buffer
    with TcpProxy(echo) as proxy, connect(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        found = bytearray()
        while len(found) < len(data):
            found += connection.recv(65_536)
        sender.join()
        assert found == data
        assert proxy.connections == 1


def sent_until_stopped(connection, most_bytes):
    sent = 0
    while sent < most_bytes:
        try:
            sent += connection.send(bytes(65_536))
        except TimeoutError:
            break
    return sent


def test_a_stalled_link_stops_its_sender_and_loses_nothing(echo):
    with TcpProxy(echo) as proxy, connect(proxy) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        assert round_trip(connection) == b"hello"
        proxy.stall()
        connection.settimeout(0.5)  # nothing was read for this long: the sender is blocked
        sent = sent_until_stopped(connection, 16 << 20)
        assert sent < 2 << 20
        proxy.restore()
        connection.settimeout(10)
        came = 0
        while came < sent:
            came += len(connection.recv(65_536))
        assert came == sent


def test_the_end_of_a_stream_passes(echo):
    with TcpProxy(echo) as proxy, connect(proxy) as connection:
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"last words"
        assert connection.recv(100) == b""


def test_a_cut_ends_connections_and_refuses_new_ones_until_restored(echo):
    with TcpProxy(echo) as proxy:
        with connect(proxy) as connection:
            assert round_trip(connection) == b"hello"
            proxy.cut()
            with pytest.raises((ConnectionError, AssertionError)):
                assert connection.recv(1) != b""
        with connect(proxy) as connection, pytest.raises((ConnectionError, AssertionError)):
            assert connection.recv(1) != b""
        proxy.restore()
        with connect(proxy) as connection:
            assert round_trip(connection) == b"hello"


def test_a_delay_is_added_in_each_direction(echo):
    with TcpProxy(echo) as proxy, connect(proxy) as connection:
        proxy.delay(0.1)
        started = time.monotonic()
        assert round_trip(connection) == b"hello"
        assert time.monotonic() - started >= 0.2
        proxy.restore()
        assert round_trip(connection) == b"hello"


def test_a_stall_holds_everything_back_and_loses_nothing(echo):
    with TcpProxy(echo) as proxy, connect(proxy) as connection:
        proxy.stall()
        connection.sendall(b"held")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.restore()
        connection.settimeout(10)
        assert round_trip(connection, b"x")[:4] == b"held"


def test_a_hold_ends_automatically_after_its_time_and_loses_nothing(echo):
    with TcpProxy(echo) as proxy, connect(proxy) as connection:
        started = time.monotonic()
        proxy.hold(0.3)
        assert round_trip(connection) == b"hello"
        assert time.monotonic() - started >= 0.3


def test_a_missing_target_ends_the_link():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
    with TcpProxy(nobody) as proxy, connect(proxy) as connection, pytest.raises((ConnectionError, AssertionError)):
        assert connection.recv(1) != b""
