"""The networks of a cluster's nodes: all on 127.0.0.1, or one for each node (brokers/programs/namespaces.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.errors import FanbenchError
from core.ports import free_ports

Rejoin = Callable[[], None]


class Network(Protocol):
    """The network or networks of a cluster's nodes."""

    def addresses(self, count: int) -> list[str]:
        """Free addresses, host:port, one for each of the first `count` nodes."""

    def enter(self, address: str, /) -> list[str]:
        """The prefix for the command of the node with this address."""

    def cut(self, address: str, /) -> Rejoin:
        """Cut the node with this address, and its host, from the others; this machine still reaches all.

        Raises:
            FanbenchError: there is no link to cut.
        """

    def close(self) -> None:
        """Remove the networks. Idempotent."""


class Loopback:
    """All nodes on 127.0.0.1."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def addresses(self, count: int) -> list[str]:
        """See Network."""
        found: list[int] = []
        while len(found) < count:  # an assigned port stays free until its node listens
            found += [port for port in free_ports(count - len(found)) if port not in self._given]
            self._given.update(found)
        return [f"127.0.0.1:{port}" for port in found]

    def enter(self, _address: str, /) -> list[str]:
        """See Network."""
        return []

    def cut(self, address: str, /) -> Rejoin:
        """See Network."""
        raise FanbenchError(f"{address}: nodes on 127.0.0.1 have no links to cut; start them in separate networks")

    def close(self) -> None:
        """See Network."""


def host_of(address: str) -> str:
    """Parse host:port."""
    return address.rpartition(":")[0]


def port_of(address: str) -> int:
    """Parse host:port."""
    return int(address.rpartition(":")[2])
