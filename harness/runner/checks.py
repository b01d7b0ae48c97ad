"""A run checks itself. Each check returns None, or one sentence: the observation, the limit, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.clock import MAX_STEP_NS
from core.contracts.load_result import WITHOUT_TOTALS, VisitResult
from core.contracts.measures import Percentiles
from core.fault import WHAT
from core.scenario import Scenario
from harness.results.run_record import Usage
from harness.results.validity import MAX_CORE, MIN_ACHIEVED
from harness.runner.remedies import longer_or_more, lower

MAX_LATE_SHARE = 0.25
"""The largest share by which lateness may raise a latency figure."""
LEAST_LATE_MS = {"p50": 0.5, "p90": 1.0, "p99": 2.0}
"""Below this, the operating system's timers decide, not the generator."""
MAX_OTHERS_SHARE = 0.15
"""Share of the machine's cores: 0.3 of two cores."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that the checks use; counts are of phase `measure`."""

    scenario: Scenario
    offered_hz: float
    """The schedule's events in the phase, divided by its length: a Poisson process rarely has exactly its rate."""
    achieved_hz: float
    latency_ms: Percentiles
    """Latency from the due instants."""
    since_sent_ms: Percentiles
    """Latency from the sent instants, as if the generator had never been late."""
    failed_publishes: int
    clients_at_start: int
    clients_at_end: int
    reconnects: int
    expected: int
    """Published events x clients of the topic."""
    delivered: int
    """Deliveries by the histograms' counts."""
    received: int
    """Deliveries by the clients' ledgers."""
    found_missing: int
    """Missing deliveries by the clients' ledgers, which cannot know events that no client got."""
    load_problems: tuple[str, ...]
    histogram_counts: Mapping[str, int]
    """The number of values by hop, including negative ones."""
    negative: int
    clock_step_ns: int
    usage: Mapping[str, Usage]
    others_cores: float | None
    """None if nobody watched."""
    cores: float
    stood_still_s: Mapping[str, float] = field(default_factory=dict)
    """How long a signal stopped one of its processes, by part."""
    ended_workers: tuple[str, ...] = ()
    """Load workers that ended while the run measured."""
    joined_workers: tuple[str, ...] = ()
    """Load workers that joined meanwhile."""
    moved_clients: int = 0
    """Clients that left a load worker, because another took them over."""
    silent_replicas: int = 0
    """Replicas that did not answer at the end: what they received and dropped is unknown."""
    endpoint: bool = False
    """Whether the clients listened to a service without replicas."""
    unmet: str = ""
    """What the broker program did not do although a setting asked for it; empty if it did everything."""
    visits: VisitResult | None = None
    """Set if there are sessions."""
    visits_planned: int = 0


def _achieved(facts: Facts) -> str | None:
    offered = facts.offered_hz
    if not offered:
        return f"no event was due within {facts.scenario.duration_s:g} s of measuring; {longer_or_more(facts.scenario)}"
    if facts.achieved_hz >= MIN_ACHIEVED * offered:
        return None
    return (
        f"achieved {facts.achieved_hz:.1f} of {offered:.4g} events/s offered ({facts.achieved_hz / offered:.1%}, "
        f"limit {MIN_ACHIEVED:.0%}): the generator or its client library is the bottleneck; {lower(facts.scenario, '--rate')}"
    )


def _generator_late(facts: Facts) -> str | None:
    """The effect of lateness on the figures: the same deliveries counted from their due and from their sent instants.

    Quantiles of lateness are not enough, because a few late events and as many slow ones move a figure together.
    """
    for name, least_ms in LEAST_LATE_MS.items():
        counted, without = getattr(facts.latency_ms, name), getattr(facts.since_sent_ms, name)
        limit_ms = max(least_ms, MAX_LATE_SHARE * without)
        if counted - without > limit_ms:
            return (
                f"generator late: {name} of latency is {counted:.1f} ms, and {without:.1f} ms without its lateness, which "
                f"may add {limit_ms:.1f} ms at most; free the machine, or {lower(facts.scenario, '--rate')}"
            )
    return None


_OF_ENDPOINT = ("the service is the bottleneck; ", "--clients or --rate")
_REMEDIES = {
    "server": ("the replica is the bottleneck; add --replicas, or ", "--clients or --rate"),
    "load": ("the load is the bottleneck; give more --load-processes if cores are free, or ", "--clients or --rate"),
    "generator": (
        "the generator is the bottleneck; with several topics give --generator-processes, if cores are free, or ",
        "--rate",
    ),
}
"""The finding, and the options that lower the load. If a part before another one is also at its limit, it is reported instead."""


def _parts(facts: Facts) -> str | None:
    for part, (finding, options) in _REMEDIES.items():
        usage = facts.usage.get(part)
        if usage is not None and usage.busiest_core > MAX_CORE:
            if part == "server" and facts.endpoint:
                finding, options = _OF_ENDPOINT
            remedy = finding + lower(facts.scenario, options)
            return f"{part} at {usage.busiest_core:.0%} of a core (limit {MAX_CORE:.0%}): {remedy}"
    return None


def _clients(facts: Facts) -> str | None:
    if facts.visits is not None:
        return _visits(facts, facts.visits)
    wanted = facts.scenario.clients
    if facts.clients_at_start == facts.clients_at_end == wanted and facts.reconnects == 0:
        return None
    logs = "service's log" if facts.endpoint else "replicas' logs"
    return (
        f"clients missing: {facts.clients_at_start} at the start, {facts.clients_at_end} at the end, of {wanted}; "
        f"{facts.reconnects} reconnected; see the {logs}"
    )


def _visits(facts: Facts, visits: VisitResult) -> str | None:
    if facts.visits_planned == visits.due == visits.opened and facts.reconnects == visits.moved:
        return None
    return (
        f"visits missing: of {facts.visits_planned} planned visits {visits.due} started and {visits.opened} connected; "
        f"{facts.reconnects - visits.moved} reconnected besides the {visits.moved} that move; see the replicas' logs"
    )


def _workers(facts: Facts) -> str | None:
    """A client that moves from one load worker to another misses events, which would count as the contender's losses."""
    ended, joined = ", ".join(facts.ended_workers), ", ".join(facts.joined_workers)
    if lost := [problem for problem in facts.load_problems if WITHOUT_TOTALS in problem]:
        return "; ".join(lost)
    if ended:
        return (
            f"load worker {ended} ended while the run measured; what its clients missed until others took them over is not the "
            "contender's; find out what ended it, and repeat"
        )
    if joined and facts.moved_clients:
        return (
            f"load worker {joined} joined while the run measured, so that {facts.moved_clients} clients moved; what they missed meanwhile is "
            "not the contender's; start all workers before the run, raise --workers-expected, and repeat"
        )
    return None


def _wrong_bytes(facts: Facts) -> str | None:
    if facts.visits is None or not facts.visits.wrong:
        return None
    return f"{facts.visits.wrong} events arrived with different bytes than were sent; something on the way changes them; see the logs"


def _load(facts: Facts) -> str | None:
    return next((problem for problem in facts.load_problems if WITHOUT_TOTALS not in problem), None)


def _counts(facts: Facts) -> str | None:
    lost = facts.expected - facts.delivered
    if lost < 0:
        return (
            f"counts do not add up: {facts.delivered} delivered of {facts.expected} expected; "
            "another generator may publish to the same topics"
        )
    if facts.found_missing > lost:
        return (
            f"counts do not add up: the clients lack {facts.found_missing} deliveries, but {facts.expected} expected minus "
            f"{facts.delivered} delivered is {lost}; this is a fault in fanbench, please report it"
        )
    wrong = {f"histogram '{hop}' has": count for hop, count in facts.histogram_counts.items()}
    wrong["the clients' ledgers have"] = facts.received
    for what, count in wrong.items():
        if count != facts.delivered:
            return f"{what} {count} deliveries, the sum is {facts.delivered}; this is a fault in fanbench, please report it"
    return None


def _negative(facts: Facts) -> str | None:
    if facts.negative == 0:
        return None
    return (
        f"{facts.negative} latencies below zero: the clocks of two hosts differ, or one was adjusted; synchronise them"
    )


def _clock(facts: Facts) -> str | None:
    if abs(facts.clock_step_ns) <= MAX_STEP_NS:
        return None
    return (
        f"the wall clock moved {facts.clock_step_ns / 1e6:+.1f} ms against the monotonic one "
        f"(limit {MAX_STEP_NS / 1e6:g} ms): stop the program that adjusts the clock, and repeat"
    )


def _others(facts: Facts) -> str | None:
    limit = MAX_OTHERS_SHARE * facts.cores
    if facts.others_cores is None or facts.others_cores <= limit:
        return None
    return (
        f"other processes used {facts.others_cores:.2f} of {facts.cores:g} cores (limit {limit:.2f}): "
        "stop them (`fanbench doctor` names them), and repeat"
    )


def _failed(facts: Facts) -> str | None:
    if facts.failed_publishes == 0:
        return None
    refused = "the service" if facts.endpoint else "the broker"
    return f"{facts.failed_publishes} publishes failed: {refused} refused them or did not answer; see generator.log"


_WHO = {"server": "a replica", "load": "Locust", "generator": "the generator", "broker": "the broker"}


def _stood_still(facts: Facts) -> str | None:
    meant = {"broker"} if any(WHAT[fault.kind].stops_broker for fault in facts.scenario.faults) else set()
    for part, seconds in facts.stood_still_s.items():
        if part not in meant:
            return (
                f"{_WHO[part]} was stopped for about {seconds:.1f} s by a signal (SIGSTOP, a debugger): losses and "
                "delays are not the contender's; find out what stops it, and repeat"
            )
    return None


def _silent(facts: Facts) -> str | None:
    if not facts.silent_replicas:
        return None
    return (
        f"{facts.silent_replicas} of {facts.scenario.replicas} replicas did not answer at the end, so what they received is "
        "unknown; see the replicas' logs"
    )


def _unmet(facts: Facts) -> str | None:
    return facts.unmet or None


Check = Callable[[Facts], str | None]

CHECKS: tuple[Check, ...] = (
    _stood_still,
    _silent,
    _achieved,
    _generator_late,
    _parts,
    _workers,
    _clients,
    _load,
    _wrong_bytes,
    _counts,
    _negative,
    _clock,
    _failed,
    _unmet,
    _others,
)
UNDER_FAULTS: tuple[Check, ...] = (_stood_still, _workers, _load, _wrong_bytes, _counts, _negative, _clock)
"""Checks that also apply during faults, when lateness, missing clients and failed publishes are findings."""


WEATHER: tuple[Check, ...] = (_stood_still, _workers, _generator_late, _clock, _others)
"""Problems that a noisy machine causes: such a run is worth repeating.

A part at its limit would be at its limit again.
"""


def problems(facts: Facts) -> tuple[str, ...]:
    """The reasons why the run is refused; empty if it may be ranked."""
    checks = UNDER_FAULTS if facts.scenario.faults else CHECKS
    return tuple(problem for check in checks if (problem := check(facts)) is not None)


def disturbed(facts: Facts) -> bool:
    """Whether the run is refused and the machine's state is among the reasons."""
    checks = [check for check in WEATHER if check in UNDER_FAULTS or not facts.scenario.faults]
    return any(check(facts) is not None for check in checks)
