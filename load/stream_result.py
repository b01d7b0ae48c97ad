"""The part of a result that the streams of any endpoint provide, regardless of their events' content."""

from __future__ import annotations

from core.contracts.load_result import ClockRange, Knowledge, StreamFigures
from core.contracts.measures import Percentiles
from load.frames import Times
from load.worker_result import SpanName, WorkerResult


def stream_figures(totals: WorkerResult) -> StreamFigures | None:
    """Return the figures of the streams; None at our replicas."""
    if not totals.endpoint:
        return None
    tally, told = totals.tally, totals.told
    lasted_s = max(0, totals.last_arrival_ns - totals.first_due_ns) / 1e9 if totals.first_due_ns is not None else 0.0
    return StreamFigures(
        knows=knowledge(totals),
        opened=tally.opened,
        whole=tally.whole,
        redirects=tally.redirects,
        body_bytes=tally.body_bytes,
        stamped=told[Times.ALL] + told[Times.DUE],
        timed=told[Times.SENT],
        unidentified=tally.unidentified,
        events_per_s=round(tally.deliveries / lasted_s, 1) if lasted_s else None,
        first_event_ms=_summary(totals, "stream_first"),
        gap_ms=_summary(totals, "stream_gap"),
        silence_ms=_summary(totals, "stream_silence"),
        answer_ms=_summary(totals, "stream_answer"),
        clock_offset_ms=_clock_offset(totals),
    )


def knowledge(totals: WorkerResult) -> tuple[Knowledge, ...]:
    """The instants that every delivery has."""
    known: list[Knowledge] = []
    if totals.tell(Times.ALL, Times.DUE):
        known.append("stamp")
    if totals.has_ledger:
        known.append("identity")
    if totals.tell(Times.ALL, Times.DUE) or totals.tell(Times.SENT):
        known.append("time")
    return tuple(known)


def _summary(totals: WorkerResult, name: SpanName) -> Percentiles | None:
    histogram = totals.spans.get(name)
    return histogram.summary_ms() if histogram is not None and histogram.count else None


def _clock_offset(totals: WorkerResult) -> ClockRange | None:
    clock = totals.clock
    if clock.low_ns is None or clock.high_ns is None:
        return None
    return ClockRange(low_ms=round(clock.low_ns / 1e6, 1), high_ms=round(clock.high_ns / 1e6, 1))
