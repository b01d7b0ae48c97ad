"""Converts between runs and the files of a result directory. Stored and reported figures agree to the last digit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from brokers.redaction import hide_options
from core.contracts.codec import encode
from core.contracts.load_result import MeasuredSecond
from core.contracts.manifest import Manifest, ManifestRun
from core.contracts.run_record import (
    FurtherColumns,
    MainColumns,
    RunHistograms,
    RunRecord,
    TimelineRow,
)
from core.histogram import Histogram
from core.plain_text import plain
from core.scenario import Scenario, parse_scenario
from harness.results.run_record import CAUSES, PARTS, Comparison, Run, Usage
from harness.results.summary import row_of

_PASSWORD = re.compile(r"(://[^/?#\s:@]*):[^/?#\s]*@")


def as_shown(text: str) -> str:
    """The text with *** for the secrets of URLs, and with control characters (a log's end may have some) as escapes."""
    return plain(hide_options(_PASSWORD.sub(r"\1:***@", text)))


def without_password(scenario: Scenario) -> Scenario:
    """The scenario without the passwords in its texts."""
    return scenario.with_fields(name=as_shown(scenario.name), description=as_shown(scenario.description))


def as_stored(run: Run) -> Run:
    """The run as it will be read back: passwords hidden, figures rounded, causes and parts in the columns' order.

    So a report from the run in memory equals one from the stored run.
    """
    return replace(
        run,
        contender=as_shown(run.contender),
        scenario=without_password(run.scenario),
        problems=tuple(map(as_shown, run.problems)),
        notes=tuple(map(as_shown, run.notes)),
        achieved_hz=round(run.achieved_hz, 3),
        lost_by_cause={cause: run.lost_by_cause[cause] for cause in CAUSES if cause in run.lost_by_cause},
        usage={part: _rounded(run.usage[part]) for part in PARTS if part in run.usage},
        timeline=[_second(second) for second in run.timeline],
        figures={name: float(run.figures[name]) for name in sorted(run.figures)},
    )


def _rounded(usage: Usage) -> Usage:
    return Usage(round(usage.cpu_s, 5), round(usage.rss_mb, 3), round(usage.busiest_core, 3))


def _second(second: MeasuredSecond | TimelineRow) -> MeasuredSecond:
    return MeasuredSecond(
        t_s=second.t_s,
        deliveries=second.deliveries,
        p50_ms=round(second.p50_ms, 3),
        p99_ms=round(second.p99_ms, 3),
        max_ms=round(second.max_ms, 3),
    )


def record_of(run: Run, number: int) -> RunRecord:
    """Return the files' content for a run from `as_stored`; `number` is its position among the runs, from 1."""
    return RunRecord(
        row=row_of(run, number),
        seconds=tuple(_timeline_row(run, number, second) for second in run.timeline),
        histograms=RunHistograms(
            run=number,
            contender=run.contender,
            round=run.round,
            histograms={span: histogram.encode() for span, histogram in run.histograms.items()},
        ),
    )


def _timeline_row(run: Run, number: int, second: MeasuredSecond) -> TimelineRow:
    return TimelineRow(
        run=number,
        contender=run.contender,
        round=run.round,
        t_s=second.t_s,
        deliveries=second.deliveries,
        p50_ms=second.p50_ms,
        p99_ms=second.p99_ms,
        max_ms=second.max_ms,
    )


def _manifest_run(run: Run, number: int, base: Scenario) -> ManifestRun:
    """A run's entry in manifest.json; `base` is the comparison's scenario."""
    usual = base.model_dump(mode="json")
    return ManifestRun(
        run=number,
        contender=run.contender,
        round=run.round,
        scenario={name: value for name, value in run.scenario.model_dump(mode="json").items() if value != usual[name]},
        problems=run.problems,
        notes=run.notes,
        negative={hop: histogram.negative for hop, histogram in run.histograms.items() if histogram.negative},
        disturbed=run.disturbed,
        permanent=run.permanent,
    )


def manifest_text(comparison: Comparison) -> str:
    """manifest.json: what was compared, on which machine, and which runs count, in their order."""
    runs = enumerate(comparison.runs, 1)
    manifest = Manifest(
        schema_version=1,
        name=comparison.name,
        started_utc=comparison.started_utc,
        complete=comparison.complete,
        verdict=comparison.verdict,
        command=comparison.command,
        scenario=comparison.scenario,
        host=comparison.host,
        versions=comparison.versions,
        libraries=comparison.libraries,
        fanbench=comparison.fanbench,
        settings=comparison.settings,
        stopping=comparison.stopping,
        lanes=comparison.lanes,
        order=tuple(_manifest_run(run, number, comparison.scenario) for number, run in runs),
    )
    return encode(manifest, indent=1) + "\n"


def run_of(record: RunRecord, entry: ManifestRun, base: Scenario, where: str) -> Run:
    """Return the run; errors name `where`.

    Raises:
        UsageError: the entry's scenario cannot be used.
        ValueError: a histogram is invalid.
    """
    main, further = record.row.main, record.row.further
    scenario = (
        parse_scenario(base.model_dump() | entry.scenario, f"{where}: run {entry.run}") if entry.scenario else base
    )
    return Run(
        contender=main.contender,
        round=main.round,
        delivery=main.delivery,
        scenario=scenario,
        transport=further.transport,
        published=main.published,
        expected=main.expected,
        delivered=main.delivered,
        lost=main.lost,
        duplicated=main.duplicated,
        reordered=main.reordered,
        gaps=main.gaps or 0,
        achieved_hz=further.achieved_hz,
        lost_by_cause=_causes(further),
        histograms=_histograms(record.histograms.histograms, entry.negative),
        usage=_usage(main, further),
        not_watched=tuple(further.not_watched.split()),
        timeline=[_second(row) for row in record.seconds],
        figures=record.row.figures,
        problems=entry.problems,
        notes=entry.notes,
        disturbed=entry.disturbed,
        permanent=entry.permanent,
        endpoint=main.replicas is None,
    )


def _causes(row: FurtherColumns) -> dict[str, int]:
    by_cause = {
        "broker": row.lost_broker,
        "gap": row.lost_gap,
        "slow_client": row.lost_slow_client,
        "connection_down": row.lost_connection_down,
        "unexplained": row.lost_unexplained,
        "under_way": row.lost_under_way,
    }
    return {cause: count for cause, count in by_cause.items() if count is not None}


def _usage(main: MainColumns, further: FurtherColumns) -> dict[str, Usage]:
    by_part = {
        "broker": (main.broker_cpu_s, main.broker_rss_mb, further.broker_core),
        "server": (main.server_cpu_s, main.server_rss_mb, further.server_core),
        "generator": (main.generator_cpu_s, further.generator_rss_mb, further.generator_core),
        "load": (main.load_cpu_s, further.load_rss_mb, further.load_core),
    }
    return {
        part: Usage(cpu_s, rss_mb, core)
        for part, (cpu_s, rss_mb, core) in by_part.items()
        if cpu_s is not None and rss_mb is not None and core is not None
    }


def _histograms(encoded: Mapping[str, str], negative: Mapping[str, int]) -> dict[str, Histogram]:
    """Histograms by hop and `latency`; the encoding has no negative values, so their count is stored separately."""
    decoded = {span: Histogram.decode(text) for span, text in encoded.items()}
    for span, count in negative.items():
        decoded[span].negative = count
    return decoded
