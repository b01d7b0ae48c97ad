"""TLS over memory buffers, with the standard library's server: bytes arrive, and refusals are reported with the next step."""

import re
import select
import socket
import ssl
import threading

import pytest
import trustme

from core.endpoint.request import TlsSettings
from core.endpoint.tls import tls_context, why_lost
from core.errors import UsageError
from load.links import PlainLink, TlsLink

DEADLINE_S = 20.0
REPLY = b"data: " + b"x" * 100_000 + b"\n\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    ca.issue_cert("shop.test").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    ca.issue_cert("me@shop.test").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    return folder


class Server(threading.Thread):
    """Takes one connection, reads a line, answers with REPLY and hangs up; `context` None: without TLS."""

    def __init__(self, context, protocols=("http/1.1",)):
        super().__init__(daemon=True)
        self.context = context
        if context is not None:
            context.set_alpn_protocols(protocols)
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.got = b""
        self.protocol = self.name_asked = None
        self.start()

    def run(self):
        sock = self.theirs
        try:
            if self.context is not None:
                self.context.sni_callback = lambda _socket, name, _context: setattr(self, "name_asked", name)
                sock = self.context.wrap_socket(self.theirs, server_side=True)
                self.protocol = sock.selected_alpn_protocol()
            else:
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            while not self.got.endswith(b"\n"):
                piece = sock.recv(65536)
                if not piece:
                    break
                self.got += piece
            sock.sendall(REPLY)
        except (ssl.SSLError, OSError):
            pass
        finally:
            sock.close()


def server_context(files, *, client_certificates=False):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files / "server.pem")
    if client_certificates:
        context.load_verify_locations(files / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def talk(server, link, line=b"GET\n"):
    """The received bytes until the end."""
    sock, received, asked = server.ours, b"", False
    while True:
        if not asked and link.shake():
            link.queue(line)
            asked = True
        waits = [sock] if not link.flush() else []
        ready, _, _ = select.select([sock], waits, [], DEADLINE_S)
        assert ready or waits, "no answer in time"
        if asked and ready:
            data = link.receive()
            if data == b"":
                return received
            received += data or b""


@pytest.mark.parametrize("protocols", [["http/1.1"], ["h2", "http/1.1"]], ids=str)
def test_bytes_arrive_in_both_directions(files, protocols):
    server = Server(server_context(files, client_certificates=True), protocols)
    settings = TlsSettings(ca_file=str(files / "ca.pem"), cert_file=str(files / "client.pem"))
    assert talk(server, TlsLink(server.ours, tls_context(settings), "shop.test")) == REPLY
    assert (server.got, server.protocol, server.name_asked) == (b"GET\n", "http/1.1", "shop.test")


def test_a_plain_socket_is_read_the_same_way(files):
    server = Server(None)
    assert talk(server, PlainLink(server.ours)).endswith(REPLY)


@pytest.mark.parametrize(
    ("ca", "name", "says"),
    [
        ("other.pem", "shop.test", "TLS: the server's certificate is refused: .*; see --ca-file and --sni"),
        ("ca.pem", "localhost", "TLS: the server's certificate is refused: Hostname mismatch"),
    ],
)
def test_a_certificate_for_another_name_is_reported(files, ca, name, says):
    server = Server(server_context(files))
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its words are those of why_lost
        talk(server, TlsLink(server.ours, tls_context(TlsSettings(ca_file=str(files / ca))), name))
    assert re.search(says, why_lost(caught.value))


def test_a_server_without_tls_is_reported(files):
    server = Server(None)
    link = TlsLink(server.ours, tls_context(TlsSettings(ca_file=str(files / "ca.pem"))), "shop.test")
    with pytest.raises(OSError) as caught:  # noqa: PT011
        talk(server, link)
    assert "use http://" in why_lost(caught.value)


def test_a_missing_client_certificate_is_named(files):
    server = Server(server_context(files, client_certificates=True))
    with pytest.raises(OSError) as caught:  # noqa: PT011
        talk(server, TlsLink(server.ours, tls_context(TlsSettings(ca_file=str(files / "ca.pem"))), "shop.test"))
    assert "--client-cert" in why_lost(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ca_file": "/nowhere.pem"}, "--ca-file '/nowhere.pem': No such file"),
        ({"cert_file": "/nowhere.pem"}, "--client-cert '/nowhere.pem': No such file"),
        ({"cert_file": "ca.pem"}, "--client-cert .*: give a PEM certificate|--client-cert .*; give a PEM certificate"),
    ],
)
def test_files_that_cannot_be_used_are_named(files, settings, says):
    settings = {name: str(files / path) for name, path in settings.items()}
    with pytest.raises(UsageError, match=says):
        tls_context(TlsSettings(**settings))
