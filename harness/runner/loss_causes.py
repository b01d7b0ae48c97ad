"""Charges every missing delivery to one cause, on the strongest evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.contracts.generator_report import GeneratorReport
from core.contracts.load_result import Cause
from core.contracts.replica_stats import ReplicaStats

ByTopic = Mapping[str, int]

ANY_TOPIC = "*"
"""Key for losses that an adapter reported without knowing the topic."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The reports of generators, replicas and clients about the run's deliveries."""

    reports: Sequence[GeneratorReport]
    """The generators' reports.

    With `each_its_own`, replica i receives only report i, otherwise each replica receives all.
    """
    stats: Sequence[ReplicaStats | None]
    """The replicas' final statistics; None for one that did not answer."""
    clients: Sequence[ByTopic]
    """Each replica's clients by topic, before the measured phase."""
    client_causes: Mapping[Cause, int]
    """The losses by cause in the clients' own ledgers, see docs/load.md."""
    each_its_own: bool = False
    of_visits: int | None = None
    """The deliveries that all visits to sessions expect, if there are sessions; `clients` is then empty."""
    endpoint: bool = False
    """Whether the clients listened to a service without statistics: `stats` is empty, `clients` has one entry."""

    def heard_by(self, place: int) -> Sequence[GeneratorReport]:
        """The reports of the generators that replica `place` hears."""
        return [self.reports[place]] if self.each_its_own else self.reports


def expected_deliveries(evidence: Evidence) -> int:
    """Published events x clients of the topic, summed over all replicas and the streams that each hears."""
    if evidence.of_visits is not None:
        return evidence.of_visits
    return sum(
        count * by_topic.get(topic, 0)
        for place, by_topic in enumerate(evidence.clients)
        for report in evidence.heard_by(place)
        for topic, count in report.measured().items()
    )


def not_received(evidence: Evidence, place: int) -> dict[str, int]:
    """Published events that replica `place` did not receive, by topic.

    A replica that a fault restarted counts from zero, so its earlier events are unknown; it is left out, as is one that
    did not answer.
    """
    missing: dict[str, int] = {}
    stats = evidence.stats[place]
    if stats is None:
        return missing
    for report in evidence.heard_by(place):
        got = stats.received_of(report.stream)
        if not any(counts.warmup for counts in got.values()):
            continue  # the count excludes the probe: the replica started after it
        for topic, published in report.measured().items():
            lacking = published - (got[topic].measure if topic in got else 0)
            if lacking > 0:
                missing[topic] = missing.get(topic, 0) + lacking
    return missing


def told(missing: Mapping[str, int], gap_lost: Mapping[str, int]) -> dict[str, int]:
    """Return a replica's missing events by topic that its adapter reported as lost: never more than are missing.

    Losses of unknown topics are spread in proportion over the topics that still miss events.
    """
    known = {topic: min(count, gap_lost.get(topic, 0)) for topic, count in missing.items()}
    rest = {topic: count - known[topic] for topic, count in missing.items()}
    share = min(1.0, gap_lost.get(ANY_TOPIC, 0) / max(1, sum(rest.values())))
    return {topic: known[topic] + round(share * rest[topic]) for topic in missing}


def split_by_cause(lost: int, evidence: Evidence) -> dict[str, int]:
    """Charge `lost` to causes, which sum to it.

    - `gap`: the replica never received it, and its adapter reported the number dropped.
    - `broker`: the replica never received it, or reported the hole to its clients; includes failed publishes.
    - `slow_client`: the replica discarded it with a client that was too slow, and resuming did not recover it.
    - `connection_down`: the client was not connected.
    - `unexplained`: it is missing in the middle of a connected stream, and nobody reported it.
    - `under_way`: none of these; it had not arrived when the drain ended.
    """
    if evidence.endpoint:
        return _of_endpoint(lost, evidence.client_causes)
    unheard = by_gap = 0
    for place, by_topic in enumerate(evidence.clients):
        missing = not_received(evidence, place)
        stats = evidence.stats[place]
        of_gap = told(missing, stats.gap_lost if stats else {})
        unheard += sum(count * by_topic.get(topic, 0) for topic, count in missing.items())
        by_gap += sum(count * by_topic.get(topic, 0) for topic, count in of_gap.items())
    causes = evidence.client_causes
    down = causes.get(Cause.CONNECTION, 0)
    # A slow client's disconnect is a lost connection in its ledger, which knows what resuming recovered.
    slow = min(down, sum(stats.dropped for stats in evidence.stats if stats))
    surest_first = {
        "gap": by_gap,
        "broker": max(unheard, causes.get(Cause.GAP, 0)) - by_gap,
        "slow_client": slow,
        "connection_down": down - slow,
        "unexplained": causes.get(Cause.UNEXPLAINED, 0),
    }
    split, left = _charged(lost, surest_first)
    return split | {"under_way": left}


def _of_endpoint(lost: int, causes: Mapping[Cause, int]) -> dict[str, int]:
    """The causes that clients can observe; the rest reached no client of the topic, so the service did not deliver it.

    Whether the service dropped events, for slow clients or otherwise, is unknown, so these causes are absent.
    """
    known = {
        "connection_down": causes.get(Cause.CONNECTION, 0),
        "unexplained": causes.get(Cause.UNEXPLAINED, 0),
        "under_way": causes.get(Cause.TAIL, 0),
    }
    split, left = _charged(lost, known)
    return split | {"broker": left}


def _charged(lost: int, surest_first: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Charge the losses to the causes in this order, to each at most its count; return the shares and the rest."""
    split, left = {}, max(0, lost)
    for cause, count in surest_first.items():
        split[cause] = min(left, max(0, count))
        left -= split[cause]
    return split, left
