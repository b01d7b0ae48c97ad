"""One measurement in one process: its clients, their ledger, the tick that folds what came, and the end of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from core.histogram import Histogram
from load.account import Account, Counters
from load.frames import Feed, PlainBody, Registry
from load.plan import Plan, Seat
from load.reader import Reader
from load.tally import Tally, rehearse
from load.totals import Distribution, Horizon, Seen, Totals, charge, horizon_of
from load.wire import ChunkedBody
from load.wiring import Address, Wiring

TICK_S = 0.2
CONNECT_DEADLINE_NS = 10_000_000_000


class Client:
    """A seat, the account of who sits there, and the reader that feeds it."""

    __slots__ = ("account", "reader", "seat")

    def __init__(self, seat: Seat, account: Account, reader: Reader) -> None:
        self.seat = seat
        self.account = account
        self.reader = reader


class Session:
    """The clients of this process from the start of a test to its end."""

    def __init__(
        self,
        loop: Any,
        addresses: Sequence[Address],
        plan: Plan,
        *,
        token: str = "",
        on_connect: Callable[[int, str], None],
        on_break: Callable[[str], None],
        on_fold: Callable[[npt.NDArray[np.int64]], None],
    ) -> None:
        rehearse()
        self.counters = Counters()
        self.plan = plan
        self._registry = Registry()
        self._tally = Tally()
        self._connect = Histogram()
        self._connect_ns: list[int] = []
        self._clients: set[Client] = set()
        self._left: list[Client] = []
        self._users = 0
        self._on_fold = on_fold
        self._tell_connect = on_connect
        self._wiring = Wiring(
            loop=loop,
            addresses=addresses,
            chunked=Feed(self._registry, ChunkedBody),
            plain=Feed(self._registry, PlainBody),
            counters=self.counters,
            on_connect=self._connected,
            on_break=on_break,
            token=token,
        )

    def _connected(self, took_ns: int, failure: str) -> None:
        if not failure:
            self._connect_ns.append(took_ns)
        self._tell_connect(took_ns, failure)

    def join(self) -> Client:
        """Seat one more client, which begins to connect."""
        seat = self.plan.take()
        account = Account(seat.topic, self.counters)
        client = Client(seat, account, Reader(account, seat.replica, self._wiring))
        self._clients.add(client)
        self._users += 1
        client.reader.start()
        return client

    def leave(self, client: Client) -> None:
        """A client goes by its own will: what it lacks so far is lost, what comes later is not its concern."""
        client.reader.close()
        self._clients.discard(client)
        self._left.append(client)
        self.plan.give_back(client.seat)

    def tick(self) -> None:
        """Fold what came since the last tick, and tell its latencies in nanoseconds."""
        self._wiring.chunked.forget()
        self._wiring.plain.forget()
        self._on_fold(self._tally.fold(self._registry.harvest()))
        if self._connect_ns:
            self._connect.record_ns(self._connect_ns)
            self._connect_ns.clear()
        late_ns = time_ns() - CONNECT_DEADLINE_NS
        for reader in [reader for reader in self._wiring.connecting if reader.started_ns < late_ns]:
            reader.give_up_connecting()

    def status(self) -> Counter[str]:
        """Connected now, reached on this connection, measured deliveries so far, reconnects."""
        counters = self.counters
        return Counter(
            clients=counters.connected,
            reached=counters.reached,
            deliveries=self._tally.deliveries,
            reconnects=counters.reconnects,
        )

    def horizon(self) -> Horizon:
        """What this process's clients together saw of each series."""
        return horizon_of(self._registry.series.values())

    def behind(self, horizon: Horizon) -> int:
        """How many clients still lack something at the end of a series that they are in."""
        return sum(self._is_behind(client.account, horizon) for client in self._clients)

    @staticmethod
    def _is_behind(account: Account, horizon: Horizon) -> bool:
        for series, track in account.tracks.items():
            bounds = horizon.get((series.stream, series.topic))
            if bounds is not None and track.behind(bounds.high_seq):
                return True
        return False

    def totals(self, horizon: Horizon) -> Totals:
        """What this process measured, with its losses counted up to the horizon of all processes."""
        self.tick()
        self._tally.close()
        horizon = self.horizon() | horizon
        totals = Totals(
            counts=self._counts(),
            foreign=self.counters.foreign.copy(),
            disconnects=self.counters.disconnects.copy(),
            refused=self.counters.refused.copy(),
            first_due_ns=self._tally.first_due_ns,
            last_arrival_ns=self._tally.last_arrival_ns,
        )
        totals.hops = {name: Distribution(one) for name, one in self._tally.hops.items()} | {
            "connect": Distribution(self._connect)
        }
        totals.servers = {name: Distribution(one) for name, one in self._tally.servers.items()}
        totals.seconds = {at: Distribution.from_wire(wire) for at, wire in self._tally.seconds.items()}
        totals.seen = {
            (s.stream, s.topic): [Seen.of(s.seen)] for s in self._registry.series.values() if s.low_seq is not None
        }
        for client in self._clients:
            self._settle(client, totals, horizon, stays=True)
        for client in self._left:
            self._settle(client, totals, horizon, stays=False)
        totals.counts["lost"] = sum(totals.causes.values())
        return totals

    def _counts(self) -> Counter[str]:
        counters = self.counters
        return Counter(
            users=self._users,
            deliveries=self._tally.deliveries,
            duplicated=counters.duplicated,
            reordered=counters.reordered,
            replayed=counters.replayed,
            gaps=counters.gaps,
            reconnects=counters.reconnects,
        )

    @staticmethod
    def _settle(client: Client, totals: Totals, horizon: Horizon, *, stays: bool) -> None:
        account = client.account
        totals.causes.update(charge(account.tracks.values(), horizon, connected=account.connected, stays=stays))
        if not account.opened_once:
            return
        last = client.reader.last_event()
        totals.counts["clients"] += 1
        totals.counts["unreached"] += last is None
        if stays:
            totals.clients[last.server if last else "", account.topic] += 1

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients:
            client.reader.close()
