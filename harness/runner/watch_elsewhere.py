"""CPU and memory of processes on other hosts: replicas report theirs at `/metrics`, load workers with their figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from prometheus_client.parser import text_string_to_metric_families

from core.contracts.load_result import LoadResult
from core.contracts.load_status import WorkerUsage
from harness.results.run_record import Usage
from harness.runner.replicas_elsewhere import NotReadyError, ReplicaElsewhere
from harness.runner.resources import Sampler, Window

_INTERVAL_S = 1.0
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """What one process reported at one moment."""

    cpu_s: float
    rss_bytes: int
    at_s: float
    """Time on a clock that does not step; only differences count."""
    started_s: float = 0.0
    """Distinguishes a process from its successor at the same address."""


def replica_figures(replica: ReplicaElsewhere) -> ProcessFigures | None:
    """Read a replica's process from its `/metrics`.

    None if it does not answer, or reports no process because it is not on Linux.
    """
    try:
        text = replica.ask("/metrics").decode()
        at_s = time.monotonic()
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            if family.name.startswith("process_")
            for sample in family.samples
        }
        return ProcessFigures(
            found["process_cpu_seconds_total"],
            int(found["process_resident_memory_bytes"]),
            at_s,
            found["process_start_time_seconds"],
        )
    except (NotReadyError, ValueError, KeyError):  # no answer, or not a replica's
        return None


def replicas_rss_mb(replicas: Sequence[ReplicaElsewhere]) -> float | None:
    """Return the resident memory of all replicas in MB; None if one does not report it."""
    found = [figures.rss_bytes for replica in replicas if (figures := replica_figures(replica)) is not None]
    return sum(found) / _MB if len(found) == len(replicas) else None


@dataclass(slots=True)
class Followed:
    """The first and last sample of each process of a part, and the largest total memory in one sample."""

    first: dict[str, ProcessFigures] = field(default_factory=dict)
    last: dict[str, ProcessFigures] = field(default_factory=dict)
    peak_bytes: int = 0

    def look(self, found: Mapping[str, ProcessFigures | None]) -> None:
        """Add one sample of each process."""
        known = {name: figures for name, figures in found.items() if figures is not None}
        if not self.first:
            self.first = known
        self.last |= known
        self.peak_bytes = max(self.peak_bytes, sum(figures.rss_bytes for figures in known.values()))

    def usage(self, now: Mapping[str, ProcessFigures | None]) -> Usage | None:
        """Add the last sample and return the usage since the first; None unless each process is in both."""
        self.look(now)
        if not now or set(now) != set(self.first) or None in now.values():
            return None
        pairs = [(self.first[name], self.last[name]) for name in now]
        if any(one.started_s != other.started_s or other.at_s <= one.at_s for one, other in pairs):
            return None  # it was restarted: the last usage of its predecessor is unknown
        used = [(other.cpu_s - one.cpu_s, other.at_s - one.at_s) for one, other in pairs]
        return Usage(
            cpu_s=round(sum(cpu_s for cpu_s, _ in used), 5),
            rss_mb=round(self.peak_bytes / _MB, 1),
            busiest_core=round(max(cpu_s / seconds for cpu_s, seconds in used), 3),
        )


def with_clocks_told(load: LoadResult) -> LoadResult:
    """The load's result, with a problem if it could not compare clocks: between hosts no hop would then be known."""
    if load.clocks is not None:
        return load
    problem = (
        "the load reached no GET /clock, so nobody knows how far the replicas' clocks are from its own; let the proxy at "
        "--clients-at pass on /clock as well as /sse"
    )
    return load.model_copy(update={"problems": (*load.problems, problem)})


class ElsewhereSampler:
    """A sampler for a deployment: reads local processes as usual, and queries the others once a second."""

    def __init__(
        self,
        here: Sampler,
        replicas: Sequence[ReplicaElsewhere],
        workers: Callable[[], Sequence[WorkerUsage]],
        generators: Callable[[], Sequence[WorkerUsage]] | None = None,
    ) -> None:
        """`generators` returns what those have used that run elsewhere; None if the generator is here."""
        self._here = here
        self._generators = generators
        self._replicas = replicas
        self._workers = workers
        self._server, self._load, self._generator = Followed(), Followed(), Followed()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Begin the window."""
        self._look()
        self._here.start()
        self._thread.start()

    def stop(self) -> Window:
        """End the window. Leave out a part if one of its processes was not seen at both ends."""
        window = self._here.stop()
        self._done.set()
        self._thread.join()
        server = self._server.usage(self._of_replicas())
        load = self._load.usage(self._of_workers())
        master = window.parts.get("load")
        parts = {name: usage for name, usage in window.parts.items() if name != "load"}
        if server is not None:
            parts["server"] = server
        if load is not None and master is not None:
            parts["load"] = together(master, load)
        elsewhere = {"load"}
        if self._generators is not None:
            elsewhere.add("generator")
            conductor = parts.pop("generator", None)
            members = self._generator.usage(_by_name(self._generators()))
            if conductor is not None and members is not None:
                parts["generator"] = together(conductor, members)
        # Other busy processes are known only for this machine, and would include replicas and workers on it.
        slopes = {
            name: slope for name, slope in window.rss_mb_per_min.items() if name not in elsewhere
        }  # only the master's
        return replace(window, parts=parts, rss_mb_per_min=slopes, others_cores=None)

    def _follow(self) -> None:
        while not self._done.wait(_INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self._server.look(self._of_replicas())
        self._load.look(self._of_workers())
        if self._generators is not None:
            self._generator.look(_by_name(self._generators()))

    def _of_replicas(self) -> dict[str, ProcessFigures | None]:
        return {replica.url: replica_figures(replica) for replica in self._replicas}

    def _of_workers(self) -> dict[str, ProcessFigures | None]:
        return _by_name(self._workers())


def _by_name(usages: Sequence[WorkerUsage]) -> dict[str, ProcessFigures | None]:
    return {one.name: ProcessFigures(one.cpu_s, one.rss_bytes, one.at_s) for one in usages}


def together(one: Usage, other: Usage) -> Usage:
    """Add up the usage of two groups of processes in one part."""
    return Usage(
        round(one.cpu_s + other.cpu_s, 5),
        round(one.rss_mb + other.rss_mb, 1),
        max(one.busiest_core, other.busiest_core),
    )
