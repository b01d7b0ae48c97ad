"""Everything that runs during a measurement, set up for one contender and one scenario."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from brokers.contender import Broker, Contender
from brokers.per_client_server import server_arguments
from brokers.programs.cluster import Cluster
from core.contracts.codec import read, write
from core.contracts.generator_status import GeneratorStatus
from core.contracts.load_status import WorkerUsage
from core.contracts.replica_stats import ReplicaStats
from core.errors import FanbenchError
from core.process import Child
from core.scenario import Scenario
from core.topics import expand_topics, topics_in_turn
from harness.runner.deployment import Deployment
from harness.runner.fitting import fitting
from harness.runner.links import BrokerLink, ClientLinks, starting_at
from harness.runner.processes import (
    OWN_SERVER,
    Children,
    Load,
    ReplicaProcess,
    generator_settings,
    replica_limits,
    start_generator,
    start_load,
    start_replicas,
    wait_ready,
)
from harness.runner.replicas_elsewhere import ReplicaElsewhere
from harness.runner.resources import Sampler, connections_to, rss_mb
from harness.runner.watch_elsewhere import ElsewhereSampler, replicas_rss_mb


@dataclass(slots=True)
class Testbed:
    """The running programs of a run, and how faults access them."""

    contender: Contender
    scenario: Scenario
    broker: Broker
    replicas: list[ReplicaProcess]
    """The replicas that fanbench started; empty with `elsewhere` or at an endpoint."""
    load: Load
    generators: list[Child]
    """The processes that get SIGUSR1: the generator, or the replicas with embedded generators."""
    reports: list[Path]
    children: Children
    rules_file: Path | None = None
    """The rules of sessions; None if the scenario has none."""
    links: list[BrokerLink] = field(default_factory=list)
    """One per replica, in the same order; empty unless a fault needs the broker."""
    generator_link: BrokerLink | None = None
    client_links: ClientLinks | None = None
    """None unless a fault breaks them."""
    figures: dict[str, float] = field(default_factory=dict)
    """Observations of the broker and figures that faults report, as columns of summary.csv."""
    server_mb: float | None = 0.0
    """Memory of all replicas, or of the endpoint, once ready and before any client; None if one does not report it."""
    elsewhere: tuple[ReplicaElsewhere, ...] = ()
    """The replicas that somebody else runs."""
    run_own: Callable[[str, str], None] | None = None
    """Runs a command of the user, given its option and the command; None without a deployment."""
    deployment: Deployment | None = None
    generators_status: Path | None = None
    """The file that says what generators elsewhere use; None if fanbench's own publishes."""

    @property
    def at_endpoint(self) -> bool:
        """Whether clients listen to a service without replicas; `broker` is this service."""
        return self.contender.endpoint is not None

    def roots(self) -> dict[str, list[int]]:
        """The current process ids of each part: a fault may have replaced some."""
        serving = self.broker.pids if self.at_endpoint else [replica.child.pid for replica in self.replicas]
        roots = {"server": serving} if serving else {}
        roots["load"] = [self.load.child.pid]
        if not self.contender.embedded:  # an embedded generator counts as CPU of the replicas
            roots["generator"] = [child.pid for child in self.generators]
        if self.broker.pids and not self.at_endpoint:  # someone else's broker, or one in a virtual machine, has no pids
            roots["broker"] = self.broker.pids
        return roots

    def stats(self) -> list[ReplicaStats | None]:
        """Each replica's `/stats`; None for a replica that does not answer."""
        return [replica.stats() for replica in self._all_replicas()]

    def _all_replicas(self) -> list[ReplicaProcess | ReplicaElsewhere]:
        return [*self.replicas, *self.elsewhere]

    def sampler(self) -> Sampler | ElsewhereSampler:
        """The sampler of CPU and memory for every part that can be watched."""
        # A service that somebody else runs may be on this machine. Its CPU must not count as foreign load.
        here = Sampler(self.roots, others=not self.at_endpoint or bool(self.broker.pids))
        if not self.elsewhere:
            return here
        generators = self._generators_elsewhere if self.generators_status is not None else None
        return ElsewhereSampler(here, self.elsewhere, lambda: self.load.status().workers, generators)

    def _generators_elsewhere(self) -> Sequence[WorkerUsage]:
        assert self.generators_status is not None
        status = read(GeneratorStatus, self.generators_status)
        return status.members if status is not None else ()

    def grown_mb(self) -> float | None:
        """The growth of the replicas' memory since they were ready; None if one does not report it."""
        if self.server_mb is None:
            return None
        now_mb = replicas_rss_mb(self.elsewhere) if self.elsewhere else rss_mb(self.roots()["server"])
        return None if now_mb is None else now_mb - self.server_mb

    def count_broker_connections(self) -> None:
        """Count connections at the broker's listeners: from replicas, the generator and, in a cluster, from other nodes."""
        running = self.broker.running
        if (
            running is not None and running.pids and not self.at_endpoint
        ):  # connections inside a container cannot be seen from here
            listeners = [address for addresses in running.listeners.values() for address in addresses.split(",")]
            self.figures["broker_connections"] = float(connections_to(running.pids, listeners))

    def connected(self) -> int:
        """Clients as counted by the replicas that answer; at an endpoint, as counted by the clients themselves."""
        if self.at_endpoint:
            return self.load.status().clients
        return sum(stats.clients for stats in self.stats() if stats is not None)

    def worker_names(self) -> set[str]:
        """The load workers that take part; none where one process holds all clients."""
        return {worker.name for worker in self.load.status().workers}

    def visitors(self) -> int:
        """Users that are ready to visit sessions."""
        return self.load.status().visitors

    def clients_of_topics(self) -> list[dict[str, int]]:
        """Each replica's clients by topic; an endpoint counts as one replica.

        Raises:
            FanbenchError: a replica does not answer, so its clients are unknown.
        """
        if self.at_endpoint:
            topics = topics_in_turn(expand_topics(self.scenario.topics), self.scenario.topic_skew)
            return [dict(Counter(islice(topics, self.scenario.clients)))]
        found = self.stats()
        for replica, stats in zip(self._all_replicas(), found, strict=True):
            if stats is None:
                words = replica.child.last_words() if isinstance(replica, ReplicaProcess) else "see its log there"
                raise FanbenchError(f"{replica.url}/stats: no answer; {words}")
        return [stats.topics for stats in found if stats is not None]

    def alive(self) -> list[Child]:
        """Children whose exit ends the run: Locust and the replicas, except those that a fault killed."""
        return [self.load.child, *(replica.child for replica in self.replicas if not replica.down)]


def write_rules(contender: Contender, scenario: Scenario, folder: Path, transport: str) -> Path | None:
    """Write the rules of the scenario's sessions and return the file; None without sessions.

    Raises:
        UsageError: the contender or the transport does not support what the scenario needs.
    """
    fitting([contender], scenario, [transport], named=True)
    rules = scenario.sessions
    if rules is None:
        return None
    path = folder / "sessions.json"
    write(rules, path)
    return path


def set_up(
    contender: Contender,
    scenario: Scenario,
    broker: Broker,
    folder: Path,
    children: Children,
    stack: ExitStack,
    transport: str,
) -> Testbed:
    """Start replicas, the generator (on hold) and Locust; return when the replicas are ready and Locust is started.

    Raises:
        UsageError: the scenario does not work with this contender or transport.
    """
    rules_file = write_rules(contender, scenario, folder, transport)
    links: list[BrokerLink] = []
    generator_link = None
    if any(fault.needs_broker for fault in scenario.faults) and broker.running is not None:
        links = [BrokerLink(contender, broker.running.listeners, stack) for _ in range(scenario.replicas)]
        generator_link = BrokerLink(contender, broker.running.listeners, stack)
    generator_url, replica_urls = urls_of(contender, scenario, broker)
    base: dict[str, object] = {"broker_url": generator_url, "delivery": contender.delivery}
    schedule = generator_settings(scenario, rules_file)
    # A generator inside a replica has no separate process.
    within = {name: value for name, value in schedule.items() if name != "processes"} if contender.embedded else {}
    shared = base | replica_limits(scenario) | within
    each: list[Mapping[str, object]] = [shared | {"broker_url": url} for url in replica_urls]
    if links:
        each = [shared | {"broker_url": link.url} for link in links]
    program = server_arguments(contender.server) if contender.server else OWN_SERVER
    replicas = start_replicas(each, folder, children, program)
    if contender.embedded:
        generators, reports = [r.child for r in replicas], [r.report for r in replicas]
    else:
        url = {"broker_url": generator_link.url} if generator_link else {}
        child, report = start_generator(base | schedule | url, folder)
        generators, reports = [children.add(child)], [report]
    # Locust takes as long to start as a replica, so all start together. Its clients wait for the replicas.
    urls = [replica.url for replica in replicas]
    client_links = ClientLinks(urls, stack) if any(fault.before_clients for fault in scenario.faults) else None
    load = start_load(
        scenario, client_links.urls if client_links else urls, folder, f"{transport}.py", rules=rules_file
    )
    children.add(load.child)
    wait_ready(replicas)
    server_mb = rss_mb([replica.child.pid for replica in replicas])
    return Testbed(
        contender,
        scenario,
        broker,
        replicas,
        load,
        generators,
        reports,
        children,
        rules_file,
        links,
        generator_link,
        client_links,
        server_mb=server_mb,
    )


def urls_of(contender: Contender, scenario: Scenario, broker: Broker) -> tuple[str, list[str]]:
    """The broker URLs of the generator and the replicas. If a fault cuts links, each lists the nodes in another order.

    With the same order all would connect to the first node, stay on one side of a partition, and never notice that the
    other side delivers something else. The generator starts at the leader, if there is one before any client connects.
    """
    if not any(fault.of_links for fault in scenario.faults):
        return broker.url, [broker.url] * scenario.replicas
    cluster, first = broker.running, 0
    assert isinstance(cluster, Cluster)
    with contextlib.suppress(FanbenchError):
        first = cluster.nodes.index(cluster.leader(contender.features, expand_topics(scenario.topics)[0]))
    places = range(first, first + scenario.replicas + 1)
    generator_url, *replica_urls = (starting_at(broker.url, place) for place in places)
    return generator_url, replica_urls
