"""The spans that every delivery of a measurement has."""

from __future__ import annotations

from core.contracts.measures import Span
from core.histogram import Histogram
from load.frames import Times
from load.worker_result import SpanName, WorkerResult


def span_of(totals: WorkerResult, name: SpanName) -> Histogram:
    """One of the histograms; empty if there is none."""
    return totals.spans.get(name, Histogram())


def measured_spans(totals: WorkerResult) -> dict[Span, Histogram]:
    """The spans that every delivery has."""
    spans: dict[Span, Histogram] = {}
    if totals.tell(Times.ALL, Times.DUE) or totals.tell(Times.SENT):  # two kinds of latency are not added up
        latency = totals.latency()
        if (
            not totals.endpoint or latency.count > latency.over
        ):  # otherwise no time was right, which load/result_checks.py reports
            spans["latency"] = latency
    if totals.tell(Times.ALL, Times.DUE):
        spans["schedule"] = span_of(totals, "schedule")
    if totals.tell(Times.ALL):
        spans |= {"broker": span_of(totals, "broker"), "fanout": span_of(totals, "fanout")}
    return spans


def duration_s(totals: WorkerResult) -> float:
    """Seconds from the first measured due instant to the last measured arrival."""
    if totals.first_due_ns is None:
        return 0.0
    return max(0, totals.last_arrival_ns - totals.first_due_ns) / 1e9
