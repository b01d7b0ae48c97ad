"""The clock by which a master gives its orders, as its workers need it: they may run on hosts with other clocks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import time_ns

import gevent

from core.endpoint.origin import parse_origin
from core.errors import UsageError
from core.host_clock import ClockMark, HostClock, short_name
from load.addresses import resolve
from load.clock_probes import Probes
from load.clocks import KnownClocks


def _ask(probes: Probes, replicas: Sequence[str]) -> None:
    with suppress(UsageError):  # the workers may know a name that this host does not know
        probes.start(resolve([parse_origin(url) for url in replicas]))


class OrderClock:
    """Compares this process's clock with the replicas', like the generator, from the first test to its end."""

    def __init__(self) -> None:
        self._known = KnownClocks(HostClock.read())
        self._probes = Probes(self._known)
        self._resolving: gevent.Greenlet | None = None

    def start(self, replicas: Sequence[str]) -> None:
        """Begin to ask the replicas with these base URLs; a name server may take its time."""
        self.stop()
        self._resolving = gevent.spawn(_ask, self._probes, tuple(replicas))

    def stop(self) -> None:
        """End, and forget what was found."""
        if self._resolving is not None:
            self._resolving.kill(block=False)
        self._probes.stop()
        self._known = KnownClocks(HostClock.read())
        self._probes = Probes(self._known)

    def mark(self) -> str:
        """The mark of this clock now, as an event carries that of its generator."""
        clock, replicas = HostClock.read(), self._known.replicas
        for name in sorted(replicas):
            if (ahead := replicas[name].ahead(time_ns())) is not None:
                return ClockMark(clock, short_name(name), ahead).encode()
        return ClockMark(clock).encode()
