"""Clients connect from the given addresses in turn, and more clients than ports are refused before the start."""

import socket

import pytest

from core.endpoint.origin import parse_origin
from core.errors import UsageError
from load.connection_pool import ReplicaAddress, begin_connecting
from load.source_addresses import SourceAddresses, own_addresses, ports_of_an_address

HERE = ReplicaAddress(parse_origin("http://127.0.0.1:8000"), socket.AF_INET, ("127.0.0.1", 8000))
THERE = ReplicaAddress(parse_origin("http://127.0.0.1:8001"), socket.AF_INET, ("127.0.0.1", 8001))


def test_connections_use_each_source_address_in_turn():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        address = ReplicaAddress(parse_origin(f"http://127.0.0.1:{port}"), socket.AF_INET, ("127.0.0.1", port))
        sources = SourceAddresses(own_addresses("127.0.0.2, 127.0.0.3"))
        clients = [begin_connecting(address, sources.bind) for _ in range(4)]
        seen = []
        for _ in clients:
            connection, (host, _port) = listener.accept()
            seen.append(host)
            connection.close()
        for client in clients:
            client.close()
    assert seen == ["127.0.0.2", "127.0.0.3"] * 2


@pytest.mark.parametrize("text", ["192.0.2.1", "localhost", "127.0.0.1,nonsense"])
def test_an_address_of_another_host_is_refused(text):
    with pytest.raises(UsageError, match=f"--source-addresses {text.rpartition(',')[2]}: .*`ip address`"):
        own_addresses(text)


def test_more_clients_than_ports_are_refused_before_the_start():
    each = ports_of_an_address()
    SourceAddresses().require_ports(each, [HERE])
    SourceAddresses().require_ports(2 * each, [HERE, THERE])
    SourceAddresses(["127.0.0.2", "127.0.0.3"]).require_ports(2 * each, [HERE])
    with pytest.raises(UsageError, match=f"{each + 1} clients need as many ports.*--source-addresses"):
        SourceAddresses().require_ports(each + 1, [HERE, HERE])
