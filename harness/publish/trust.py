"""The parts of a bundle that nothing else in it can confirm. `fanbench verify` lists them as taken on trust."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnTrust:
    """Fields that cannot be derived, and the reason."""

    file: str
    fields: tuple[str, ...]
    why: str


ON_TRUST = (
    OnTrust(
        "histograms.json",
        ("histograms",),
        "the recorded latencies: all other figures about latency follow from them",
    ),
    OnTrust(
        "summary.csv",
        ("published", "expected", "delivered", "duplicated", "reordered", "gaps", "lost_*", "achieved_hz"),
        "counts of generator, replicas and clients; their relations are checked: their sums, published x clients "
        "with one topic, and the limits of a valid run",
    ),
    OnTrust("summary.csv", ("*_cpu_s", "*_rss_mb", "*_core"), "what the operating system reported about the processes"),
    OnTrust("summary.csv", ("transport", "delivery of a contender that this fanbench does not know"), "what ran"),
    OnTrust("summary.csv", ("further columns",), "what only some runs measure, such as connect times and silences"),
    OnTrust(
        "timeline.csv",
        ("deliveries", "p50_ms", "p99_ms", "max_ms"),
        "for each second; their sum and their largest value are checked",
    ),
    OnTrust(
        "manifest.json",
        (
            "name",
            "started_utc",
            "complete",
            "command",
            "host",
            "versions",
            "libraries",
            "fanbench",
            "settings",
            "stopping",
            "lanes",
        ),
        "place, time and tools of the measurement",
    ),
    OnTrust(
        "manifest.json",
        ("scenario", "contender", "round"),
        "the workload that ran; the rows that repeat it are compared",
    ),
    OnTrust(
        "manifest.json", ("problems", "notes", "negative", "disturbed", "permanent"), "what a run reported about itself"
    ),
    OnTrust(
        "capacity.json", ("slo", "vary", "held", "broke", "confirmed", "note", "judged"), "the course of the search"
    ),
    OnTrust(
        "report.json",
        ("derived_by", "logs"),
        "which fanbench made the bundle, and the hashes of logs that are not in it",
    ),
)
