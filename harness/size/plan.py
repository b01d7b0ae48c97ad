"""How many replicas, workers, descriptors, ports and bits a load needs, and which limit comes first. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.errors import UsageError
from harness.size.units import ProgramUnits, UnitCosts

MAX_CORE = 0.90
"""The share of a core above which a run is refused: a process has one core."""
SPARE_DESCRIPTORS = 100
DEFAULT_MAX_CLIENTS = 16_384
"""A replica's own limit, unless FANBENCH_MAX_CLIENTS says otherwise."""
US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class WantedLoad:
    """The load: `rate_hz` events per second at each client, from one of `topics`."""

    clients: int
    rate_hz: float
    replicas: int = 0
    """0: as many as needed; the same for `workers`."""
    workers: int = 0
    topics: int = 1
    payload_bytes: int = 200

    @property
    def deliveries_hz(self) -> float:
        """Deliveries per second to all clients."""
        return self.clients * self.rate_hz

    @property
    def events_hz(self) -> float:
        """Events that the generator publishes per second."""
        return self.rate_hz * self.topics


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What a host offers to its processes."""

    descriptors: int = 1_048_576
    """For one process."""
    ports: int = 28_232
    """Local ports from one source address to one replica's address."""
    source_addresses: int = 1
    workers_per_host: int = 1
    link_gbit: float = 10.0

    def workers_of(self, workers: int) -> int:
        """The load processes on one host, if there are that many in all."""
        return min(self.workers_per_host, workers)


class UsedShare(NamedTuple):
    """The used share of a limit: 1.0 means that all of it is used."""

    what: str
    share: float
    remedy: str


@dataclass(frozen=True, slots=True)
class SizedPlan:
    """What the load needs. CPU in cores of one process; memory in MB."""

    wanted: WantedLoad
    replicas: int
    workers: int
    clients_per_replica: int
    clients_per_worker: int
    replica_core: float
    worker_core: float
    generator_core: float
    broker_core: float
    replica_mb: float
    worker_mb: float
    replica_descriptors: int
    worker_descriptors: int
    ports: int
    """Local ports from a worker's host to each replica."""
    gbit_s: float
    replica_gbit_s: float
    limits: tuple[UsedShare, ...]
    """The fullest first."""

    def host_gbit_s(self, host: HostLimits) -> float:
        """What all load processes of one host receive."""
        return self.gbit_s / self.workers * host.workers_of(self.workers)

    @property
    def fits(self) -> bool:
        """Whether no limit is exceeded."""
        return all(limit.share <= 1 for limit in self.limits)

    @property
    def ends_first(self) -> UsedShare:
        """The limit that a larger load reaches first."""
        return self.limits[0]


def size(wanted: WantedLoad, units: UnitCosts, host: HostLimits) -> SizedPlan:
    """Make the plan for a load.

    Raises:
        UsageError: the events of a single client fill a core of a replica or of a load process, or a number is not finite.
    """
    for option, value in (("--rate", wanted.rate_hz), ("--link-gbit", host.link_gbit)):
        if not math.isfinite(value):
            raise UsageError(f"{option} {value}: give a finite number")
    replicas = wanted.replicas or _replicas(wanted, units, host)
    workers = wanted.workers or _workers(wanted, units, host, replicas)
    at_replica, at_worker = math.ceil(wanted.clients / replicas), math.ceil(wanted.clients / workers)
    events_hz = wanted.events_hz
    gbit_s = wanted.deliveries_hz * _bytes(wanted, units) * 8 / 1e9
    plan = SizedPlan(
        wanted=wanted,
        replicas=replicas,
        workers=workers,
        clients_per_replica=at_replica,
        clients_per_worker=at_worker,
        replica_core=_core(units.replica, wanted, at_replica, wanted.topics),
        worker_core=_core(units.worker, wanted, at_worker, replicas * wanted.topics),
        generator_core=events_hz * units.generator.event_us / US_PER_S,
        broker_core=_broker_core(units, wanted, replicas),
        replica_mb=_mb(units.replica, at_replica),
        worker_mb=_mb(units.worker, at_worker),
        replica_descriptors=at_replica + SPARE_DESCRIPTORS,
        worker_descriptors=at_worker + SPARE_DESCRIPTORS,
        ports=math.ceil(at_worker * host.workers_of(workers) / replicas),
        gbit_s=gbit_s,
        replica_gbit_s=gbit_s / replicas,
        limits=(),
    )
    return _with_limits(plan, host)


def _core(units: ProgramUnits, wanted: WantedLoad, clients: int, streams: int) -> float:
    """The used share of a core with that many clients.

    It receives each event once in every stream that has a client here: in a replica, the topics; in a load process, the topics of each
    replica. With few clients, most streams have none.
    """
    each_us = clients * units.delivery_us + min(streams, clients) * units.event_us
    return wanted.rate_hz * each_us / US_PER_S


def _most_clients(units: ProgramUnits, wanted: WantedLoad, streams: int) -> int:
    """The largest number of clients that a process carries below its limit of a core; 0 if not even one."""
    left_us = MAX_CORE * US_PER_S / wanted.rate_hz
    apart = math.floor(left_us / (units.delivery_us + units.event_us))
    if apart <= streams:
        return apart
    return max(streams, math.floor((left_us - streams * units.event_us) / units.delivery_us))


def _broker_core(units: UnitCosts, wanted: WantedLoad, replicas: int) -> float:
    """The broker sends each event once to each replica that has a client of its topic."""
    copies_hz = wanted.rate_hz * min(wanted.topics * replicas, wanted.clients)
    return (wanted.events_hz * units.broker.event_us + copies_hz * units.broker.copy_us) / US_PER_S


def _mb(units: ProgramUnits, clients: int) -> float:
    return units.base_mb + clients * units.client_kb / 1000


def _bytes(wanted: WantedLoad, units: UnitCosts) -> float:
    return units.wire.frame_bytes + wanted.payload_bytes - 200 + units.wire.packet_bytes


def _replicas(wanted: WantedLoad, units: UnitCosts, host: HostLimits) -> int:
    most = _most_clients(units.replica, wanted, wanted.topics)
    if most < 1:
        raise UsageError(
            f"{wanted.rate_hz:g} events/s at each client: those of a single client fill the core of its replica; lower --rate"
        )
    return math.ceil(wanted.clients / min(most, DEFAULT_MAX_CLIENTS, host.descriptors - SPARE_DESCRIPTORS))


def _workers(wanted: WantedLoad, units: UnitCosts, host: HostLimits, replicas: int) -> int:
    most = _most_clients(units.worker, wanted, replicas * wanted.topics)
    if most < 1:
        raise UsageError(
            f"{wanted.rate_hz:g} events/s at each client: those of a single client fill the core of a load process; lower --rate"
        )
    enough = math.ceil(wanted.clients / min(most, host.descriptors - SPARE_DESCRIPTORS))
    most_of_host = host.ports * host.source_addresses * replicas
    if wanted.clients > most_of_host:
        enough = max(enough, math.ceil(wanted.clients * host.workers_per_host / most_of_host))
    return enough


def _with_limits(plan: SizedPlan, host: HostLimits) -> SizedPlan:
    more_workers = "give more --workers"
    limits = [
        UsedShare("a replica's core", plan.replica_core / MAX_CORE, "give more --replicas"),
        UsedShare("a worker's core", plan.worker_core / MAX_CORE, more_workers),
        UsedShare("the generator's core", plan.generator_core / MAX_CORE, "publish fewer events"),
        UsedShare("the broker's core", plan.broker_core / MAX_CORE, "give fewer --replicas, or a broker that uses several cores"),
        UsedShare("a replica's descriptors", plan.replica_descriptors / host.descriptors, "raise `ulimit -n`"),
        UsedShare("a worker's descriptors", plan.worker_descriptors / host.descriptors, f"raise `ulimit -n`, or {more_workers}"),
        UsedShare(
            "ports of a worker's host to a replica",
            plan.ports / (host.ports * host.source_addresses),
            "give its hosts more addresses (--source-addresses), or more hosts",
        ),
        UsedShare("a replica's link", plan.replica_gbit_s / host.link_gbit, "give more --replicas on separate hosts"),
        UsedShare(
            "a worker host's link",
            plan.host_gbit_s(host) / host.link_gbit,
            "spread workers over more hosts",
        ),
    ]  # fmt: skip
    return replace(plan, limits=tuple(sorted(limits, key=lambda limit: -limit.share)))
