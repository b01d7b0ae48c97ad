"""Opens the session of a test in this process."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from time import time_ns

import gevent

from core.contracts.session_rules import NS_PER_S, SessionRules
from core.endpoint.origin import Origin, parse_origin
from core.errors import UsageError
from core.topics import expand_topics
from load.addresses import resolve
from load.endpoint_access import EndpointAccess, open_access
from load.locust_table import LocustTable
from load.messages import Begin
from load.plan import Seating
from load.session import Attendance, Session
from load.source_addresses import SourceAddresses
from load.transport import SSE, Transport

DESCRIPTORS_BESIDE_CLIENTS = 100


@dataclass(frozen=True, slots=True)
class SessionFactory:
    """State shared by this process's sessions."""

    transport: Transport
    table: LocustTable
    sources: tuple[str, ...] = ()
    """The addresses of this host that its clients connect from; empty: the system chooses."""

    def open(self, begin: Begin) -> Session:
        """The session of that test, without a client.

        Raises:
            UsageError: a server's name is unknown, a file of an endpoint cannot be used, sessions began in the past, or this
            process may not open that many connections.
        """
        sources = SourceAddresses(self.sources)
        origins = [parse_origin(url) for url in begin.replicas]
        access = self._access(begin, origins)
        addresses = resolve(origins)
        require_descriptors(begin.clients)
        require_ahead(begin.sessions)
        sources.require_ports(begin.clients, addresses, begin.beside)
        session = Session(
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
            access=access,
            connect_timeout_s=begin.connect_timeout_s,
        )
        if session.visits is not None and begin.sessions is not None and begin.sessions.starts_ns:
            session.visits.begin(begin.sessions.starts_ns)
        return session

    def _access(self, begin: Begin, origins: Sequence[Origin]) -> EndpointAccess | None:
        """The access to an endpoint; None at our replicas."""
        if begin.endpoint is None:
            return None
        if self.transport is not SSE:
            raise UsageError(
                "https://, --path, --dialect and similar options are for SSE; use load/sse.py, or leave them out"
            )
        return open_access(begin.endpoint, begin.token, begin.measure_from_ns, origins)


def require_ahead(rules: SessionRules | None) -> None:
    """Raise UsageError if the sessions began some time ago, so that their first clients would come too late."""
    late_s = (time_ns() - rules.starts_ns) / NS_PER_S if rules is not None and rules.starts_ns else 0.0
    if late_s > 0:
        raise UsageError(
            f"--sessions: the starts_ns of its file was {late_s:.1f} s ago; write a later instant there, in nanoseconds since 1970, "
            "before you start generator and load"
        )


def require_descriptors(clients: int) -> None:
    """Raise the limit of open files as far as possible.

    Raises:
        UsageError: this process may not open that many connections.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + DESCRIPTORS_BESIDE_CLIENTS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{clients} clients need {wanted} open files, this process may have {hard}; "
            f"use up to {max(0, hard - DESCRIPTORS_BESIDE_CLIENTS)} clients or more --processes"
        )
    # As many as possible, for clients that move here from a leaving worker.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, 65_536) if hard == resource.RLIM_INFINITY else hard, hard))
