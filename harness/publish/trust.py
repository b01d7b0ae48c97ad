"""What a bundle says that nothing else in it can confirm: whoever verifies it takes this on trust, and is told so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OnTrust:
    """Fields of one kind, and why they cannot be derived."""

    file: str
    fields: tuple[str, ...]
    why: str


ON_TRUST = (
    OnTrust(
        "histograms.json",
        ("histograms",),
        "the latencies as they were recorded: all else about latency follows from them",
    ),
    OnTrust(
        "summary.csv",
        ("published", "expected", "delivered", "duplicated", "reordered", "gaps", "lost_*", "achieved_hz"),
        "counts of generator, replicas and clients; what ties them together is checked: their sums, published x clients "
        "where there is one topic, and the limits of a valid run",
    ),
    OnTrust("summary.csv", ("*_cpu_s", "*_rss_mb", "*_core"), "what the operating system said of the processes"),
    OnTrust("summary.csv", ("transport", "delivery of a contender that this fanbench does not know"), "what ran"),
    OnTrust("summary.csv", ("further columns",), "what only some runs measure, such as connect times and silences"),
    OnTrust(
        "timeline.csv",
        ("deliveries", "p50_ms", "p99_ms", "max_ms"),
        "by second; their sum and their largest are checked",
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
        ),
        "where, when and with what it was measured",
    ),
    OnTrust(
        "manifest.json",
        ("scenario", "contender", "round"),
        "the workload that ran; what the rows repeat of it is compared",
    ),
    OnTrust("manifest.json", ("problems", "notes", "negative", "disturbed", "permanent"), "what a run said of itself"),
    OnTrust(
        "capacity.json", ("slo", "vary", "held", "broke", "confirmed", "note", "judged"), "the course of the search"
    ),
    OnTrust(
        "report.json",
        ("derived_by", "logs"),
        "which fanbench made the bundle, and the hashes of logs that are not in it",
    ),
)
