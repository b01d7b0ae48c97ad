"""Opens the session of a test in this process."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import gevent

from core.errors import UsageError
from core.topics import expand_topics
from load.addresses import resolve
from load.http1 import parse_origin
from load.locust_table import LocustTable
from load.messages import Begin
from load.plan import Seating
from load.session import Attendance, Session
from load.source_addresses import SourceAddresses
from load.transport import Transport

DESCRIPTORS_BESIDE_CLIENTS = 100


@dataclass(frozen=True, slots=True)
class SessionFactory:
    """State that the sessions of this process share."""

    transport: Transport
    table: LocustTable
    sources: tuple[str, ...] = ()
    """The addresses of this host that its clients leave from; empty leaves it to the system."""

    def open(self, begin: Begin) -> Session:
        """The session of that test, without a client.

        Raises:
            UsageError: a replica's name is unknown, or this process may not hold so many connections.
        """
        sources = SourceAddresses(self.sources)
        addresses = resolve([parse_origin(url) for url in begin.replicas])
        require_descriptors(begin.clients)
        sources.require_ports(begin.clients, addresses)
        return Session(
            gevent.get_hub().loop,
            addresses,
            Seating(expand_topics(begin.topic), begin.topic_skew, len(addresses)),
            transport=self.transport,
            token=begin.token,
            on_connect=self.table.connected,
            on_break=self.table.broken,
            on_fold=self.table.delivered,
            measure_from_ns=begin.measure_from_ns,
            compact=begin.compact,
            sessions=None if begin.sessions is None else Attendance(begin.sessions, max(1, begin.users)),
            sources=sources,
        )


def require_descriptors(clients: int) -> None:
    """Raise the limit of open files as far as it goes.

    Raises:
        UsageError: this process may not hold that many connections.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + DESCRIPTORS_BESIDE_CLIENTS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{clients} clients need {wanted} open files, this process may have {hard}; "
            f"use up to {max(0, hard - DESCRIPTORS_BESIDE_CLIENTS)} clients or more --processes"
        )
    # As many as may be, for clients that move here from a worker that leaves.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, 65_536) if hard == resource.RLIM_INFINITY else hard, hard))
