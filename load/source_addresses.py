"""The addresses of this host from which connections leave: each has a limited number of ports to one replica."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_STREAM, SOL_IP, socket

from core.errors import UsageError
from core.host_clock import host_name
from load.connection_pool import ReplicaAddress

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_PORTS = 28_232
_NETWORK = Path("/proc/self/ns/net")
_BIND_ADDRESS_NO_PORT = 24
"""Linux's IP_BIND_ADDRESS_NO_PORT: the kernel chooses the port at connect, so that it can be reused for each replica."""


def own_addresses(text: str) -> tuple[str, ...]:
    """Addresses of this host, separated by commas; none for an empty text.

    Raises:
        UsageError: an address does not belong to this host, stands for all of them, or is repeated: its ports would be counted twice.
    """
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    seen: set[object] = set()
    for address in found:
        try:
            parsed = ipaddress.ip_address(address)
            with socket(_family(address), SOCK_STREAM) as probe:
                probe.bind((address, 0))
            reason = "occurs twice" if parsed in seen else "is no single address" if parsed.is_unspecified else ""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
        if reason:
            raise UsageError(
                f"--source-addresses {address}: {reason}; give addresses of this host, as `ip address` lists them, each once"
            )
        seen.add(parsed)
    return found


def _family(address: str) -> int:
    return AF_INET6 if ":" in address else AF_INET


def ports_of_an_address() -> int:
    """The number of connections to one replica for which an address of this host has ports."""
    try:
        first, last = map(int, _PORT_RANGE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return _USUAL_PORTS
    return last - first + 1


def network_name(sources: str) -> str:
    """A name that is equal for the processes of this host whose connections use the same ports, with these `--source-addresses`."""
    try:
        number = _NETWORK.stat().st_ino
    except OSError:  # without Linux, a host has one network
        number = 0
    return f"{host_name()}.{number}.{','.join(sorted(one.strip() for one in sources.split(',')))}"


class SourceAddresses:
    """Uses the addresses of a connection's family in turn; without any, the system chooses."""

    def __init__(self, addresses: Sequence[str] = ()) -> None:
        self._by_family: dict[int, list[str]] = {
            family: [address for address in addresses if _family(address) == family] for family in (AF_INET, AF_INET6)
        }
        self._next: dict[int, Iterator[str]] = {
            family: itertools.cycle(found) for family, found in self._by_family.items() if found
        }

    def bind(self, sock: socket) -> None:
        """Bind a socket to the next address of its family.

        Raises:
            OSError: the address does not belong to this host.
        """
        if sock.family in self._next:
            sock.setsockopt(SOL_IP, _BIND_ADDRESS_NO_PORT, 1)  # IPv6 sockets accept it, too
            sock.bind((next(self._next[sock.family]), 0))

    def require_ports(self, clients: int, addresses: Sequence[ReplicaAddress], beside: int = 0) -> None:
        """Raise UsageError if that many clients need more ports than there are, or no address can reach a replica.

        `beside` is the number of clients of other processes that use the same ports.
        """
        each, places = ports_of_an_address(), {address.sockaddr: address for address in addresses}
        for address in places.values() if self._next else ():
            if address.family in (AF_INET, AF_INET6) and address.family not in self._next:
                kind = "IPv6" if address.family == AF_INET6 else "IPv4"
                raise UsageError(
                    f"--source-addresses: none of them is an {kind} address, and {address.origin.url} has one; give one of this host, or leave "
                    "the option out"
                )
        sources = max(1, *(len(found) for found in self._by_family.values()))
        found = each * sum(max(1, len(self._by_family.get(address.family, []))) for address in places.values())
        if clients + beside > found:
            others = f", with {beside} of other workers on this host," if beside else ""
            raise UsageError(
                f"{clients} clients{others} need as many ports, and {sources} source address{'es have' if sources > 1 else ' has'} {found} to these replicas "
                f"({each} from each to each); give more addresses with --source-addresses, or more workers on other hosts"
            )
