"""Shares clusters between runs while they stay whole, because a RabbitMQ cluster takes 20 s to form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from brokers.clean_up import run_on
from brokers.contender import Broker, Contender
from brokers.contenders import cluster_contenders
from brokers.programs.catalogue import program_of
from brokers.programs.cluster import Cluster
from brokers.programs.cluster_program import APART
from core.errors import TransientError

BACK_S = 20.0
"""Time for a cluster to become whole after a run; a slower one is stopped, and the next run gets a new one."""
Key = tuple[str, tuple[tuple[str, int], ...], bool]
"""Program, settings, and whether the nodes have separate networks."""


class BrokerPool:
    """Brokers for runs. Leaving the `with` block stops the remaining clusters."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets the logs and data of the clusters."""
        self._folder = folder
        self._clusters: dict[Key, Cluster] = {}
        self._started = 0

    def __enter__(self) -> BrokerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._clusters:
            self._clusters.popitem()[1].stop()

    @contextmanager
    def broker(self, contender: Contender, folder: Path) -> Iterator[Broker]:
        """A broker for one run: a shared cluster, or a broker that the contender launches in `folder`.

        At a shared cluster, the run's name prefixes everything that the run creates. Leaving removes all of it.

        Raises:
            FanbenchError: the program is not found or does not start.
        """
        if contender.program is None or not contender.clustered:
            with contender.launched(folder) as broker:
                yield broker
            return
        key = (contender.program, tuple(contender.settings.items()), APART in contender.features)
        cluster = self._clusters.get(key) or self._start(key, contender)
        try:
            with run_on(contender.url.format_map(cluster.listeners), contender.delivery) as url:
                yield Broker(url, cluster)
        except BaseException:
            self._drop(key)
            raise
        try:
            cluster.wait_whole(BACK_S)
        except TransientError:  # the run is already measured
            self._drop(key)

    def _drop(self, key: Key) -> None:
        self._clusters.pop(key).stop()

    def _start(self, key: Key, contender: Contender) -> Cluster:
        program, settings, apart = key
        features = {feature for other in cluster_contenders() if other.program == program for feature in other.features}
        features |= {APART} if apart else set()
        self._started += 1
        running = program_of(program, contender.launch, dict(settings)).start(
            self._folder / f"{program}-{self._started}", features
        )
        assert isinstance(running, Cluster)
        self._clusters[key] = running
        return running
