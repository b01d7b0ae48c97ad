"""`fanbench size`: what a load needs that does not fit on this machine, as text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from harness.size.plan import DEFAULT_MAX_CLIENTS, HostLimits, SizedPlan, WantedLoad, size
from harness.size.units import UnitCosts, read_units

_NAMED = 3


def size_command(wanted: WantedLoad, host: HostLimits, units: Path | None, json_answer: bool) -> int:
    """Size a load and print the plan. The exit code is 0 if no limit is exceeded, otherwise 1.

    Raises:
        UsageError: the table of costs cannot be read, or no number of processes would suffice.
    """
    costs = read_units(units)
    plan = size(wanted, costs, host)
    print(as_json(plan, costs) if json_answer else in_words(plan, costs, host))
    return 0 if plan.fits else 1


def as_json(plan: SizedPlan, costs: UnitCosts) -> str:
    """Return the plan with all its numbers as JSON."""
    found = asdict(plan) | {"fits": plan.fits, "ends_first": plan.ends_first.what, "measured": costs.measured}
    found["limits"] = [{"what": one.what, "share": round(one.share, 4), "remedy": one.remedy} for one in plan.limits]
    return json.dumps(found)


def in_words(plan: SizedPlan, costs: UnitCosts, host: HostLimits) -> str:
    """Return the plan as a table, and a sentence about the first limit."""
    wanted = plan.wanted
    lines = [
        f"{wanted.clients:,} clients at {wanted.rate_hz:g} events/s each: {wanted.deliveries_hz:,.0f} deliveries/s, {plan.gbit_s:.2f} Gbit/s",
        "",
        _row("replicas", plan.replicas, plan.clients_per_replica, plan.replica_core, plan.replica_mb),
        _row("workers", plan.workers, plan.clients_per_worker, plan.worker_core, plan.worker_mb),
        f"  generator        {plan.generator_core:7.1%} of a core    broker {plan.broker_core:.1%} of a core (valkey's)",
        f"  descriptors      {plan.replica_descriptors:,} per replica, {plan.worker_descriptors:,} per worker (ulimit -n)",
        f"  ports            {plan.ports:,} of {host.ports * host.source_addresses:,} from a worker's host to each replica",
        f"  network          {plan.replica_gbit_s:.2f} Gbit/s per replica, {plan.host_gbit_s(host):.2f} per worker host",
        "",
        _verdict(plan),
        "Used share of each limit: " + "; ".join(f"{one.what} {one.share:.0%}" for one in plan.limits[:_NAMED]) + ".",
    ]  # fmt: skip
    for name, count in (("replicas", plan.replicas), ("workers", plan.workers)):
        if count > wanted.clients:
            lines.append(f"{count - wanted.clients:,} of the {count:,} {name} have no client.")
    if plan.clients_per_replica > DEFAULT_MAX_CLIENTS:
        lines.append(
            f"Give the replicas FANBENCH_MAX_CLIENTS={plan.clients_per_replica + 100}: their default limit is {DEFAULT_MAX_CLIENTS:,}."
        )
    lines.append(f"The costs were measured on: {costs.measured} (docs/scale.md).")
    return "\n".join(lines)


def _row(name: str, count: int, clients: int, core: float, mb: float) -> str:
    return f"  {name:<10} {count:>5}  {clients:>7,} clients each  {core:6.0%} of a core  {mb:7,.0f} MB"


def _verdict(plan: SizedPlan) -> str:
    first = plan.ends_first
    if not plan.fits:
        return f"It does not fit: {first.what} would be used {first.share:.2f}x; {first.remedy}."
    return f"It fits. The first limit is {first.what}, at {1 / first.share:.1f}x this load; then {first.remedy}."
