"""The addresses of this host from which connections leave: each has a limited number of ports to one replica."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from socket import AF_INET, AF_INET6, SOCK_STREAM, SOL_IP, socket

from core.errors import UsageError
from load.connection_pool import ReplicaAddress

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_PORTS = 28_232
_BIND_ADDRESS_NO_PORT = 24
"""Linux's IP_BIND_ADDRESS_NO_PORT: the kernel chooses the port at connect, so that it can be reused for each replica."""


def own_addresses(text: str) -> tuple[str, ...]:
    """Addresses of this host, separated by commas; none for an empty text.

    Raises:
        UsageError: an address does not belong to this host.
    """
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    for address in found:
        try:
            family = AF_INET6 if ipaddress.ip_address(address).version == 6 else AF_INET
            with socket(family, SOCK_STREAM) as probe:
                probe.bind((address, 0))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            words = "give addresses of this host, as `ip address` lists them"
            raise UsageError(f"--source-addresses {address}: {reason}; {words}") from error
    return found


def ports_of_an_address() -> int:
    """The number of connections to one replica for which an address of this host has ports."""
    try:
        first, last = map(int, _PORT_RANGE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return _USUAL_PORTS
    return last - first + 1


class SourceAddresses:
    """Uses the addresses in turn; without any, the system chooses."""

    def __init__(self, addresses: Sequence[str] = ()) -> None:
        self._count = len(addresses)
        self._next: Iterator[str] | None = itertools.cycle(addresses) if addresses else None

    def bind(self, sock: socket) -> None:
        """Bind a socket to the next address.

        Raises:
            OSError: the address does not belong to this host.
        """
        if self._next is not None:
            if sock.family == AF_INET:
                sock.setsockopt(SOL_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((next(self._next), 0))

    def require_ports(self, clients: int, addresses: Sequence[ReplicaAddress]) -> None:
        """Raise UsageError if that many clients need more ports than there are."""
        each, sources = ports_of_an_address(), max(1, self._count)
        found = each * sources * len({address.sockaddr for address in addresses})
        if clients > found:
            raise UsageError(
                f"{clients} clients need as many ports, and {sources} source address{'es have' if sources > 1 else ' has'} {found} to these replicas "
                f"({each} to each); give more addresses with --source-addresses, or more workers on other hosts"
            )
