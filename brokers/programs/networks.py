"""Where the nodes of a cluster run: all on 127.0.0.1, or each in a separate network (brokers/programs/namespaces.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.errors import FanbenchError
from core.ports import free_ports

Rejoin = Callable[[], None]


class Network(Protocol):
    """Where nodes live."""

    def addresses(self, count: int) -> list[str]:
        """Free addresses, host:port, one for each of the first `count` nodes."""

    def enter(self, address: str, /) -> list[str]:
        """What precedes the command of a node with this address."""

    def cut(self, address: str, /) -> Rejoin:
        """Cut the node with this address, and what shares its host, from the others; this machine still reaches all.

        Raises:
            FanbenchError: there is no link that could be cut.
        """

    def close(self) -> None:
        """Remove what was made. Idempotent."""


class Loopback:
    """All nodes on 127.0.0.1."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def addresses(self, count: int) -> list[str]:
        """See Network."""
        found: list[int] = []
        while len(found) < count:  # a port that was given before is free until its node listens
            found += [port for port in free_ports(count - len(found)) if port not in self._given]
            self._given.update(found)
        return [f"127.0.0.1:{port}" for port in found]

    def enter(self, _address: str, /) -> list[str]:
        """See Network."""
        return []

    def cut(self, address: str, /) -> Rejoin:
        """See Network."""
        raise FanbenchError(f"{address}: nodes on 127.0.0.1 have no links to cut; start them in networks of their own")

    def close(self) -> None:
        """See Network."""


def host_of(address: str) -> str:
    """Of host:port."""
    return address.rpartition(":")[0]


def port_of(address: str) -> int:
    """Of host:port."""
    return int(address.rpartition(":")[2])
