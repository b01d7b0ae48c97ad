"""The `--json` output for a run."""

from __future__ import annotations

from harness.results.run_record import Run


def run_json(run: Run) -> dict[str, object]:
    """A run's main figures for a program that reads `--json`."""
    latency = run.histograms.get("latency")
    return {
        "contender": run.contender,
        "round": run.round,
        "transport": run.transport,
        "fault": " ".join(fault.kind for fault in run.scenario.faults),
        "expected": run.expected,
        "delivered": run.delivered,
        "lost_by_cause": {cause: count for cause, count in run.lost_by_cause.items() if count},
        "lost": run.lost,
        "latency_ms": latency.summary_ms().model_dump() if latency else {},
        "valid": run.valid,
        "problems": list(run.problems),
    }
