"""Endpoints as contenders: their programs, and what is refused before a measurement."""

import socket
import ssl
import threading

import pytest
import trustme

from brokers.endpoint_contenders import endpoint_contender, require_endpoint_answers
from brokers.programs.catalogue import SERVICES
from core.errors import UsageError
from core.ports import free_port

TEXT = '[endpoint]\nurl = "http://127.0.0.1:{port}"\npath = "/sse"\npublish = "POST /publish"\n'


def endpoint_file(folder, name="hub", text=TEXT, port=8000):
    path = folder / f"{name}.toml"
    path.write_text(text.replace("{port}", str(port)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_fanbench_starts_the_services_that_come_with_it(name):
    contender = endpoint_contender(name)
    assert (contender.program, contender.delivery, contender.url) == (name, "at-most-once", "http://{http}")
    assert contender.endpoint is not None
    assert not contender.embedded
    assert contender.durability == ""
    with pytest.raises(UsageError, match="no image of this service; leave out `--launch docker`"):
        contender.launched_by("docker").require_runnable()


def test_a_users_own_service_is_used_unchanged(tmp_path):
    contender = endpoint_contender(endpoint_file(tmp_path))
    assert (contender.name, contender.program, contender.url) == ("hub", None, "http://127.0.0.1:8000")
    with contender.launched(tmp_path) as service:
        assert service == ("http://127.0.0.1:8000", None)
    assert contender.runnable


@pytest.mark.parametrize("name", ["valkey", "sse-starlette", "nats-cluster", "memory"])
def test_a_name_identifies_one_contender(tmp_path, name):
    with pytest.raises(UsageError, match=f"'{name}' is the name of another contender; add name = '{name}-endpoint'"):
        endpoint_contender(endpoint_file(tmp_path, name))


def test_a_program_that_fanbench_cannot_start_is_refused(tmp_path):
    text = '[endpoint]\nprogram = "nchn"\npath = "/sse"\npublish = "POST /publish"\n'
    with pytest.raises(
        UsageError, match=r"program = 'nchn': .*did you mean 'nchan'\? Start any other service yourself"
    ):
        endpoint_contender(endpoint_file(tmp_path, text=text))


def test_a_service_that_does_not_answer_is_reported_before_the_measurement(tmp_path):
    port = free_port()
    contender = endpoint_contender(endpoint_file(tmp_path, port=port))
    with pytest.raises(
        UsageError, match=rf"endpoint 'hub': http://127.0.0.1:{port} does not answer .*start the service"
    ):
        require_endpoint_answers(contender.endpoint)


@pytest.fixture
def secure(tmp_path):
    """A TLS server that wants a certificate, its port, and the folder with the files."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("hub.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    ca.issue_cert("me@hub.test").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                try:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as sock:
                        sock.recv(100)
                        sock.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")
                except (ssl.SSLError, ConnectionError):
                    continue
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        yield tmp_path, listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ('ca_file = "ca.pem"\nsni = "hub.test"\nclient_cert = "me.pem"\n', ""),
        (
            'sni = "hub.test"\nclient_cert = "me.pem"\n',
            "TLS: the server's certificate is refused: .*ca_file, sni, client_cert and",
        ),
        ('ca_file = "ca.pem"\nclient_cert = "me.pem"\n', "TLS: the server's certificate is refused: .*127.0.0.1"),
        ('ca_file = "ca.pem"\nsni = "hub.test"\n', "TLS: .*client certificate: --client-cert; ca_file, sni"),
        ('ca_file = "no.pem"\n', r"endpoint 'hub': --ca-file '.*/no.pem': No such file .*; correct it in .*hub.toml"),
    ],
    ids=["all", "no authority", "another name", "no certificate", "no file"],
)
def test_mismatched_tls_is_reported_before_the_measurement(secure, fields, says):
    folder, port = secure
    contender = endpoint_contender(endpoint_file(folder, text=TEXT.replace("http:", "https:") + fields, port=port))
    if not says:
        require_endpoint_answers(contender.endpoint)
        return
    with pytest.raises(UsageError, match=says):
        require_endpoint_answers(contender.endpoint)
