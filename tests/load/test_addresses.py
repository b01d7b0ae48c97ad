"""A name with addresses of two families, of which a replica may listen on only one."""

import errno
import socket

import pytest

from core.endpoint.origin import parse_origin
from core.errors import UsageError
from load import addresses

FAMILIES = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


def both_families(host, port, **_):
    """The result of a hosts file with a `localhost` line for each family: the default on Debian and Docker, but not everywhere."""
    places = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
    return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in places]


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_an_invalid_host_name_is_refused_with_the_reason(host):
    with pytest.raises(UsageError, match=f"replica http://{host}: .*is the host name right"):
        addresses.resolve([parse_origin(f"http://{host}")])


def one_port_of_two_families(listening):
    """A listener, and a socket that occupies its port in the other family without listening, as another program might."""
    (other,) = FAMILIES.keys() - {listening}
    for _ in range(100):
        try:
            listener = socket.create_server((listening, 0), family=FAMILIES[listening])
        except OSError:
            pytest.skip(f"this machine has no {listening}")
        silent = socket.socket(FAMILIES[other])
        try:
            silent.bind((other, listener.getsockname()[1]))
        except OSError as refused:
            if refused.errno != errno.EADDRINUSE:
                return listener, silent  # a machine without the other family
            listener.close()
            silent.close()
        else:
            return listener, silent
    pytest.fail("no port is free in both families")


@pytest.mark.parametrize("listening", FAMILIES)
def test_the_family_that_answers_is_used(listening, monkeypatch):
    listener, silent = one_port_of_two_families(listening)
    monkeypatch.setattr(addresses.socket, "getaddrinfo", both_families)
    with listener, silent:
        port = listener.getsockname()[1]
        found = addresses.resolve([parse_origin(f"http://localhost:{port}")])
    assert [(address.family, address.sockaddr[:2]) for address in found] == [(FAMILIES[listening], (listening, port))]


def test_ipv4_is_taken_where_nobody_listens(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", both_families)
    (address,) = addresses.resolve([parse_origin(f"http://localhost:{port}")])
    assert address.family == socket.AF_INET
