"""Describes the machine, and what would disturb a measurement on it."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path

import psutil

from core.build import UNKNOWN, installed_version, source_commit
from core.cores import usable_cores
from core.errors import UsageError
from core.scenario import Scenario
from core.topics import expand_topics
from harness.runner.remedies import lower

SPARE_DESCRIPTORS = 200
"""Descriptors that a Locust worker or a replica needs in addition to its clients' sockets."""
MOST_PER_PROCESS_HZ = 100_000
"""Deliveries per second for one Locust process: below this, reading does not wait for a core."""
_LIBRARIES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "locust",
    "gevent",
    "redis",
    "hiredis",
    "aio-pika",
    "aiomqtt",
    "nats-py",
    "asyncpg",
)


def describe_host() -> dict[str, str]:
    """A description of the machine for the manifest, without host name, user and paths."""
    memory_gb = psutil.virtual_memory().total / 1e9
    return {
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
        "cores": f"{usable_cores():g}",
        "memory": f"{memory_gb:.0f} GB",
        "system": f"{_distribution()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "descriptors": str(descriptor_limit()),
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that affect the numbers."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def own_version() -> dict[str, str]:
    """The version of fanbench and, in a checkout, the commit; uncommitted changes are marked."""
    found = {"version": installed_version()}
    commit = source_commit()
    if commit != UNKNOWN:
        changed = _git(Path(__file__).parents[2], "status", "--porcelain", "--untracked-files=no")
        found["commit"] = f"{commit[:12]}{' with changes' if changed else ''}"
    return found


def _git(root: Path, *words: str) -> str:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def descriptor_limit() -> int:
    """Descriptors that one process may open: the hard limit, to which fanbench raises its soft limit."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one; children inherit it."""
    hard = descriptor_limit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def local_ports() -> int:
    """Local ports for connections to one address and port; Linux's default if it cannot be read."""
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return 28_232
    return last - first + 1


def most_load_processes() -> int:
    """The most Locust processes that `auto` starts: one for each usable core."""
    return max(1, int(usable_cores()))


def load_processes(scenario: Scenario) -> int:
    """Return the number of Locust processes: the scenario's number, or as many as its load needs.

    A process has at most as many clients as descriptors, and reads at most about 138,000 deliveries a second.
    """
    if scenario.load_processes:
        return scenario.load_processes
    per_s = scenario.clients * scenario.rate_hz / len(expand_topics(scenario.topics))
    by_descriptors = ceil(scenario.clients / (descriptor_limit() - SPARE_DESCRIPTORS))
    return min(max(by_descriptors, ceil(per_s / MOST_PER_PROCESS_HZ)), most_load_processes())


def most_clients(replicas: int, processes: int) -> int:
    """The number of SSE clients that fit: each needs a descriptor in Locust, one in its replica, and a local port."""
    descriptors = descriptor_limit() - SPARE_DESCRIPTORS
    return min(descriptors * processes, descriptors * replicas, local_ports() * replicas)


def require_descriptors(scenario: Scenario) -> None:
    """Raise UsageError if the scenario has more clients than its processes have descriptors or ports for."""
    processes = scenario.load_processes or most_load_processes()
    most = most_clients(scenario.replicas, processes)
    if scenario.clients > most:
        fewer = f"{lower(scenario, '')}, give" if scenario.sessions else f"give --clients {most} or less,"
        raise UsageError(
            f"clients = {scenario.clients}: each process may use {descriptor_limit()} descriptors and {local_ports()} "
            f"ports to a replica, which is enough for {most} clients on {scenario.replicas} replicas and {processes} Locust processes; "
            f"{fewer} more --load-processes or --replicas, or raise the limit (ulimit -Hn)"
        )


def busy_processes(seconds: float = 1.0, least: float = 0.05) -> list[tuple[str, int, float]]:
    """Processes that use CPU now, busiest first: name, id, and cores, measured over `seconds` seconds."""
    processes = list(psutil.process_iter(["name"]))
    for process in processes:
        _cores(process)
    psutil.cpu_percent(seconds)
    own = os.getpid()
    found = [(p.info["name"] or "?", p.pid, _cores(p)) for p in processes if p.pid != own]
    return sorted((row for row in found if row[2] >= least), key=lambda row: -row[2])


def _cores(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent(None)) / 100
    except psutil.Error:
        return 0.0


def disturbances(busy: Sequence[tuple[str, int, float]]) -> list[str]:
    """What would disturb a measurement here, each with the remedy."""
    found = [f"{name} (process {pid}) uses {cores:.0%} of a core: stop it while measuring" for name, pid, cores in busy]
    if usable_cores() < 2:
        found.append("fewer than two cores: server and clients compete for it; use a machine with two or more")
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists() and governor.read_text(encoding="utf-8").strip() == "powersave":
        found.append("CPU governor 'powersave': choose 'performance' (cpupower frequency-set -g performance)")
    if psutil.swap_memory().percent > 50:
        found.append("more than half of the swap space is in use: free memory")
    return found
