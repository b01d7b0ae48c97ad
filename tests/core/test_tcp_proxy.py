"""The TCP proxy: bytes pass unchanged, and each fault does what it says."""

import socket
import threading
import time

import pytest

from core.tcp_proxy import TcpProxy
from tests.waiting import wait_until


@pytest.fixture
def echo():
    """A server that sends back what it gets; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection:
            try:
                while chunk := connection.recv(65536):
                    connection.sendall(chunk)
            except OSError:
                return

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def receive(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(65536)
        assert chunk, f"closed after {len(data)} of {count} bytes"
        data += chunk
    return data


def ask(port, question):
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(question)
        return receive(client, len(question))


def test_bytes_pass_unchanged_in_both_directions(echo):
    payload = bytes(range(256)) * 4096
    with TcpProxy("127.0.0.1", echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        threading.Thread(target=client.sendall, args=(payload,), daemon=True).start()
        assert receive(client, len(payload)) == payload


def test_the_end_of_one_side_is_passed_on(echo):
    with TcpProxy("127.0.0.1", echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 10) == b"last words"
        assert client.recv(1) == b""


def test_cut_resets_what_is_open_and_refuses_until_healed(echo):
    with TcpProxy("127.0.0.1", echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
            client.sendall(b"x")
            receive(client, 1)
            assert proxy.connections == 1
            proxy.cut()
            with pytest.raises((ConnectionError, AssertionError)):
                receive(client, 1)
        with pytest.raises((OSError, AssertionError)):
            ask(proxy.port, b"x")
        proxy.heal()
        assert ask(proxy.port, b"y") == b"y"
        wait_until(lambda: proxy.connections == 0, "the end of the connection")


def test_delay_holds_for_both_directions_and_keeps_order(echo):
    with (
        TcpProxy("127.0.0.1", echo, delay_s=0.1) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
    ):
        start = time.monotonic()
        client.sendall(b"a")
        client.sendall(b"b")
        assert receive(client, 2) == b"ab"
        assert time.monotonic() - start >= 0.2
        proxy.delay(0.0)
        client.sendall(b"c")
        assert receive(client, 1) == b"c"


def test_frozen_bytes_come_after_heal(echo):
    with TcpProxy("127.0.0.1", echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(b"a")
        receive(client, 1)
        proxy.freeze()
        client.sendall(b"b")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.heal()
        client.settimeout(10)
        assert receive(client, 1) == b"b"


def test_stop_is_idempotent_and_ends_the_thread(echo):
    proxy = TcpProxy("127.0.0.1", echo)
    with socket.create_connection(("127.0.0.1", proxy.port), 10):
        proxy.stop()
        proxy.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "tcp-proxy"]
