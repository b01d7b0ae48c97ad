"""Clients connect from the given addresses in turn, and more clients than ports are refused before the start."""

import socket

import pytest

from core.endpoint.origin import parse_origin
from core.errors import UsageError
from load.connection_pool import ReplicaAddress, begin_connecting
from load.source_addresses import SourceAddresses, network_name, own_addresses, ports_of_an_address

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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("127.0.0.1,127.0.0.2, 127.0.0.1", "--source-addresses 127.0.0.1: occurs twice"),
        ("::1,0:0:0:0:0:0:0:1", "--source-addresses 0:0:0:0:0:0:0:1: occurs twice"),
        ("0.0.0.0", "--source-addresses 0.0.0.0: is no single address"),
        ("::", "--source-addresses ::: is no single address"),
    ],
)
def test_an_address_whose_ports_would_be_counted_twice_is_refused(text, words):
    with pytest.raises(UsageError, match=words):
        own_addresses(text)


def test_a_connection_leaves_from_an_address_of_its_family():
    sources = SourceAddresses(own_addresses("127.0.0.2,::1"))
    for host, family, seen in (("127.0.0.1", socket.AF_INET, "127.0.0.2"), ("::1", socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as listener:
            sockaddr = listener.getsockname()
            address = ReplicaAddress(parse_origin(f"http://[::1]:{sockaddr[1]}"), family, sockaddr)
            for _ in range(2):
                client = begin_connecting(address, sources.bind)
                connection, (source, *_) = listener.accept()
                assert source == seen
                connection.close()
                client.close()


def test_a_replica_that_no_source_address_can_reach_is_named():
    six = ReplicaAddress(parse_origin("http://[::1]:8000"), socket.AF_INET6, ("::1", 8000, 0, 0))
    SourceAddresses(["127.0.0.1", "::1"]).require_ports(1, [HERE, six])
    SourceAddresses().require_ports(1, [HERE, six])
    with pytest.raises(UsageError, match=r"none of them is an IPv6 address, and http://\[::1\]:8000 has one"):
        SourceAddresses(["127.0.0.1"]).require_ports(1, [HERE, six])


def test_more_clients_than_ports_are_refused_before_the_start():
    each = ports_of_an_address()
    SourceAddresses().require_ports(each, [HERE])
    SourceAddresses().require_ports(2 * each, [HERE, THERE])
    SourceAddresses(["127.0.0.2", "127.0.0.3"]).require_ports(2 * each, [HERE])
    with pytest.raises(UsageError, match=f"{each + 1} clients need as many ports.*--source-addresses"):
        SourceAddresses().require_ports(each + 1, [HERE, HERE])


def test_workers_on_one_host_share_its_ports():
    each = ports_of_an_address()
    SourceAddresses().require_ports(each - 7, [HERE], beside=7)
    with pytest.raises(
        UsageError, match=f"{each - 7} clients, with 8 of other workers on this host, need as many ports"
    ):
        SourceAddresses().require_ports(each - 7, [HERE], beside=8)
    assert network_name("127.0.0.1, 127.0.0.2") == network_name("127.0.0.2,127.0.0.1") != network_name("")
