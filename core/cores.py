"""How much CPU this process may use: a container or `taskset` often gives less than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUP, own: Path = _OWN) -> float:
    """Cores that this process may keep busy, by its affinity and by cpu.max of its cgroup and the parent cgroups."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([float(allowed), *_quotas(cgroups, own)])


def _quotas(cgroups: Path, own: Path) -> list[float]:
    """The limits of cgroup v2, innermost first; none without cgroup v2."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if path is None:
        return []
    folder = cgroups / path
    quotas = [_quota(one / "cpu.max") for one in (folder, *folder.parents) if one.is_relative_to(cgroups)]
    return [quota for quota in quotas if quota is not None]


def _quota(file: Path) -> float | None:
    try:
        quota_us, period_us = file.read_text(encoding="ascii").split()
        return None if quota_us == "max" else int(quota_us) / int(period_us)
    except (OSError, ValueError):
        return None
