"""Resolves the replicas' names to addresses."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gevent import socket

from core.endpoint.origin import Origin
from core.errors import UsageError
from load.connection_pool import ReplicaAddress, SocketAddress

PROBE_S = 2.0


def resolve(origins: Sequence[Origin]) -> list[ReplicaAddress]:
    """Each address of each replica's name, in the same order for all workers.

    Raises:
        UsageError: a name is unknown.
    """
    addresses = []
    for origin in origins:
        try:
            origin.host.encode(
                "idna"
            )  # getaddrinfo checks this too, but its error would make gevent's thread print a traceback
            found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter if no name server accepts the name
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"replica {origin.url}: {reason}; is the host name right?") from error
        # Replicas may share one name, as under compose; each of its addresses is one replica. A name server rotates them.
        places = sorted((family, place) for family, _, _, _, place in found)
        chosen = _family(places)
        addresses += [ReplicaAddress(origin, family, place) for family, place in places if family == chosen]
    return addresses


def _family(places: Sequence[tuple[int, SocketAddress]]) -> int:
    """The family of addresses to use: `localhost` often has two, but a port that compose publishes has only IPv4.

    Returns the first address that accepts a connection, IPv4 before IPv6; if none does, the IPv4 address, whose refusal is reported.
    """
    first: dict[int, SocketAddress] = dict(reversed(places))
    for family in sorted(first) if len(first) > 1 else ():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_S)
            probe.connect(first[family])
            return family
    return min(first)
