"""What the programs on all hosts have used so far: CPU and memory by part, and the replicas' own counts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.hosts import Hosts
from benchmarks.machine import cpu_ns, memory_bytes, tree
from core.process import Child


@dataclass(frozen=True, slots=True)
class Footprint:
    """What all processes of each part have used so far, and what the replicas count."""

    at_s: float
    busy_s: float
    """CPU seconds of this whole machine, including other programs."""
    clients: int
    delivered: int
    """Frames that the replicas have written to clients."""
    cpu_s: dict[str, float]
    memory_bytes: dict[str, int]
    kernel_bytes: int
    """Memory of the kernel's own objects, including sockets, on this whole machine."""

    @classmethod
    def of(cls, hosts: Hosts, memory: bool = False) -> Footprint:
        """Now. With `memory` it also reads memory, which takes long for many processes."""
        parts = {"replicas": _pids(hosts.replicas), "workers": _pids(hosts.workers), "broker": _pids([hosts.broker])}
        times, stats = psutil.cpu_times(), hosts.stats()
        return cls(
            time.monotonic(),
            sum(times) - times.idle - times.iowait - times.guest - times.guest_nice,
            sum(one.clients for one in stats if one is not None),
            sum(one.delivered for one in stats if one is not None),
            {name: cpu_ns(pids) / 1e9 for name, pids in parts.items()},
            {name: memory_bytes(pids) for name, pids in parts.items()} if memory else {},
            _slab_bytes(),
        )

    def cores_since(self, before: Footprint) -> dict[str, float]:
        """CPU seconds per second since then, by part; `machine` is everything that ran here."""
        seconds = self.at_s - before.at_s
        cores = {name: (used - before.cpu_s[name]) / seconds for name, used in self.cpu_s.items()}
        return cores | {"machine": (self.busy_s - before.busy_s) / seconds}


def _pids(children: Sequence[Child]) -> list[int]:
    return [pid for child in children for pid in tree(child.pid)]


def _slab_bytes() -> int:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    return int(text.partition("Slab:")[2].split()[0]) * 1024
