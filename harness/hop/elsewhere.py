"""The broker hop to somebody else's replicas, which count and time the events; fanbench publishes, or generators that join."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from brokers.contender import Broker, Contender
from core.contracts.codec import read
from core.contracts.generator_report import GeneratorReport
from core.contracts.hop import HopFigures
from core.errors import FanbenchError
from core.scenario import Scenario
from core.topics import expand_topics
from harness.hop.measure import ContenderHop
from harness.runner.deployment import Deployment
from harness.runner.polling import poll
from harness.runner.processes import Children, start_generator
from harness.runner.replicas_elsewhere import NotReadyError, ReplicaElsewhere
from harness.runner.set_up_elsewhere import broker_as_given, give_broker, joining, publishing, wait_for_generators

MAX_SHARE = 0.10
"""The largest clock offset between a replica and a generator, as a share of the median: nothing corrects the figures."""
_WARMUP_S = 0.5
_REPORT_S = 30.0
_POLL_S = 0.05
_BUCKET = "fanbench_broker_hop_seconds_bucket"
_CPU = "process_cpu_seconds_total"


@dataclass(frozen=True, slots=True)
class ReplicaCounters:
    """What a replica's `/metrics` reports about the hop; counters only grow."""

    buckets: dict[float, float]
    """For each upper bound in seconds, how many events arrived within that time after they were sent."""
    cpu_s: float


def counters_of(replica: ReplicaElsewhere) -> ReplicaCounters:
    """Read a replica's current counters.

    Raises:
        FanbenchError: it does not answer, or does not report its CPU (only Linux does).
    """
    samples = [
        sample
        for family in text_string_to_metric_families(replica.ask("/metrics").decode())
        for sample in family.samples
    ]
    buckets = {float(one.labels["le"]): one.value for one in samples if one.name == _BUCKET}
    cpu = [one.value for one in samples if one.name == _CPU]
    if not buckets or not cpu:
        lacking = _CPU if buckets else _BUCKET
        raise FanbenchError(
            f"{replica.url}/metrics has no {lacking}: check that it is a replica of this fanbench, on Linux"
        )
    return ReplicaCounters(buckets, cpu[0])


def percentile_s(buckets: Sequence[tuple[float, float]], percentile: float) -> float | None:
    """Interpolate a percentile within its bucket, as Prometheus does.

    The last finite bound for values beyond it, None without values. `buckets` are pairs of an upper bound in seconds and
    the number of values up to it, in order; the last bound is infinite.
    """
    wanted = buckets[-1][1] * percentile / 100
    low_s, below = 0.0, 0.0
    for bound_s, count in buckets:
        if count >= wanted and count > below:
            return low_s if bound_s == float("inf") else low_s + (bound_s - low_s) * (wanted - below) / (count - below)
        low_s, below = bound_s, count
    return None


def measure_elsewhere(contender: Contender, scenario: Scenario, folder: Path, deployment: Deployment) -> ContenderHop:
    """Measure one contender's hop to every replica of a deployment, at the scenario's rate.

    Raises:
        FanbenchError: the command failed, a generator did not join, or a replica or a generator did not finish.
    """
    opened = contender.launched if deployment.deploy else None
    with opened(folder) if opened else broker_as_given(contender, folder) as broker, Children() as children:
        own_topics = {"topics": scenario.topics}  # nobody connects, so no client subscribes them
        replicas, _ = give_broker(contender, scenario, broker, folder, deployment, lambda _: None, own_topics)
        require_subscribed(replicas, scenario)
        before = [counters_of(replica) for replica in replicas]
        report = _publish(contender, scenario, broker, folder, children, deployment)
        lost = _wait_received(replicas, report, scenario.drain_s)
        after = [counters_of(replica) for replica in replicas]
    figures = figures_of(report, lost, before, after)
    require_clocks(report, figures, len(replicas))
    return ContenderHop(contender.name, contender.delivery, scenario.rate_hz, figures, None, None)


def require_subscribed(replicas: Sequence[ReplicaElsewhere], scenario: Scenario) -> None:
    """Check that each replica hears every topic.

    Raises:
        FanbenchError: one does not; the message names the first such topic and the next step.
    """
    wanted = expand_topics(scenario.topics)
    for replica in replicas:
        lacking = [topic for topic in wanted if replica.before is not None and topic not in replica.before.topics]
        if lacking:
            raise FanbenchError(
                f"{replica.url} is not subscribed to {len(lacking)} of {len(wanted)} topics, first to {lacking[0]!r}: hop has no clients, "
                f"so give that replica FANBENCH_TOPICS={scenario.topics}; --deploy has it in its environment"
            )


def require_clocks(report: GeneratorReport, figures: HopFigures, replicas: int) -> None:
    """Check that the replicas' clocks, by which they time the hop, are those of the generators.

    Raises:
        FanbenchError: one is unknown, or certainly ahead or behind, by more than MAX_SHARE of the median.
    """
    if figures.p50_us is None:  # nothing came, so no figure is wrong by a clock
        return
    if len(report.clocks) < replicas:
        raise FanbenchError(
            f"the clocks of {replicas - len(report.clocks)} of {replicas} replicas are unknown, or the generators' own clocks differ: "
            "each generator must reach http://REPLICA/clock; synchronise the hosts' clocks, or use `fanbench compare`, which corrects each hop"
        )
    for server, clock in report.clocks.items():
        if abs(clock.ahead_ms) - clock.bound_ms > MAX_SHARE * figures.p50_us / 1000:
            raise FanbenchError(
                f"the clock of {server} is {clock.ahead_ms:+.3f} ms ahead of the generator's (within {clock.bound_ms:.3f} ms), and the hop's p50 "
                f"by these clocks is {figures.p50_us / 1000:.3f} ms: synchronise the hosts' clocks, or use `fanbench compare`, which corrects each hop"
            )


def _publish(
    contender: Contender, scenario: Scenario, broker: Broker, folder: Path, children: Children, deployment: Deployment
) -> GeneratorReport:
    settings = publishing(contender, scenario, broker, deployment) | joining(deployment, folder)
    child, path = start_generator(settings | {"hold": False, "warmup_s": _WARMUP_S}, folder)
    children.add(child)
    if deployment.generators:
        wait_for_generators(child, folder, deployment)
    return poll(
        "the generator's report",
        _WARMUP_S + scenario.duration_s + _REPORT_S,
        lambda: read(GeneratorReport, path),
        [child],
    )


def _wait_received(replicas: Sequence[ReplicaElsewhere], report: GeneratorReport, drain_s: float) -> int:
    """Wait until every replica has all published events, at most `drain_s`.

    Return the number of missing events over all.
    """
    deadline_s = time.monotonic() + drain_s
    published = report.measured()
    while True:
        lacking = 0
        for replica in replicas:
            stats = replica.stats()
            if stats is None:
                raise NotReadyError(
                    f"{replica.url}/stats did not answer at the end, so the number of events that it received is unknown; see its log"
                )
            got = stats.received_of(report.stream)
            lacking += sum(count - (got[topic].measure if topic in got else 0) for topic, count in published.items())
        if lacking <= 0 or time.monotonic() > deadline_s:
            return max(0, lacking)
        time.sleep(_POLL_S)


def figures_of(
    report: GeneratorReport, lost: int, before: Sequence[ReplicaCounters], after: Sequence[ReplicaCounters]
) -> HopFigures:
    """Return the figures over all replicas between two samples of their counters.

    Latencies and CPU include the warm-up.
    """
    measured = sum(report.measured().values())
    bounds = sorted(after[0].buckets)
    grown = [
        (
            bound,
            sum(late.buckets[bound] - early.buckets.get(bound, 0.0) for early, late in zip(before, after, strict=True)),
        )
        for bound in bounds
    ]
    received = grown[-1][1]
    cpu_s = sum(late.cpu_s - early.cpu_s for early, late in zip(before, after, strict=True))
    return HopFigures(
        messages=measured * len(after),
        published=sum(counts.warmup + counts.measure for counts in report.published.values()),
        lost=lost,
        achieved_hz=report.achieved_hz,
        p50_us=_us(percentile_s(grown, 50)),
        p99_us=_us(percentile_s(grown, 99)),
        client_us=cpu_s / received * 1e6 if received else None,
    )


def _us(value_s: float | None) -> float | None:
    return None if value_s is None else value_s * 1e6
