"""The reports of shares of one schedule, as the one report that a single process would have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.contracts import codec
from core.contracts.clock import ClockOffset
from core.contracts.generator_report import GeneratorReport
from core.contracts.measures import PhaseCounts
from core.errors import UsageError
from core.histogram import Histogram
from generator.acceptance import require_accepted
from generator.settings import GeneratorSettings


def merge_files(paths: Sequence[str]) -> str:
    """The merged report of these files, as JSON.

    Raises:
        UsageError: no file is given, one is missing, or they are not of one schedule.
        DocumentError: one is not a report.
    """
    if not paths:
        raise UsageError("merge: no report is named; give the shares' files: python -m generator merge A.json B.json")
    found: dict[str, GeneratorReport] = {}
    for path in paths:
        report = codec.read(GeneratorReport, Path(path))
        if report is None:
            raise UsageError(f"merge: {path}: no such file; a generator writes it at its end, to FANBENCH_REPORT")
        if path in found:
            raise UsageError(f"merge: {path} is named twice; its events would count twice; name each file once")
        found[path] = report
    return codec.encode(merge(found))


def write_whole(settings: GeneratorSettings, reports: Mapping[str, GeneratorReport]) -> None:
    """Write the merged report to the file of the settings, if there is one.

    Raises:
        TransientError: a service accepted no event.
    """
    whole = merge(reports)
    if settings.report is not None:
        codec.write(whole, settings.report)
    require_accepted(settings, whole)


def merge(reports: Mapping[str, GeneratorReport]) -> GeneratorReport:
    """Counts, rates and CPU add up, histograms are merged, and the outage is the longest. Keys name the reports in errors.

    For a replica's clock the narrowest offset counts; it is left out if the shares' offsets exclude each other, because
    the shares' own clocks then differ.

    Raises:
        UsageError: they are not shares of one schedule.
    """
    all_ = list(reports.values())
    _require_one_schedule(reports)
    failures: Counter[str] = Counter()
    lateness = Histogram()
    published: dict[str, PhaseCounts] = {}
    for report in all_:
        failures.update(report.failures)
        lateness.merge(Histogram.decode(report.lateness_histogram))
        published |= report.published
    return GeneratorReport(
        stream=all_[0].stream,
        published=published,
        failed=sum(report.failed for report in all_),
        failures=dict(failures),
        retried=sum(report.retried for report in all_),
        longest_outage_ms=max(report.longest_outage_ms for report in all_),
        scheduled=sum(report.scheduled for report in all_),
        offered_hz=sum(report.offered_hz for report in all_),
        achieved_hz=sum(report.achieved_hz for report in all_),
        # 0 if a share measured nothing.
        measure_started_ns=min((report.measure_started_ns for report in all_ if report.measure_started_ns), default=0),
        measure_ended_ns=max(report.measure_ended_ns for report in all_),
        lateness_ms=lateness.summary_ms(),
        lateness_histogram=lateness.encode(),
        lateness_negative=sum(report.lateness_negative for report in all_),
        clock_step_ns=max((report.clock_step_ns for report in all_), key=abs),
        clocks=_clocks(all_),
        cpu_s=sum(report.cpu_s for report in all_),
    )


def _require_one_schedule(reports: Mapping[str, GeneratorReport]) -> None:
    (first, known), *others = reports.items()
    publisher_of = dict.fromkeys(known.published, first)
    for name, report in others:
        if report.stream != known.stream:
            raise UsageError(
                f"{first} is of stream {known.stream}, {name} of {report.stream}: they are not shares of one schedule; start "
                "all shares with the same FANBENCH_STARTS_AT"
            )
        for topic in report.published:
            if (other := publisher_of.setdefault(topic, name)) != name:
                raise UsageError(
                    f"{other} and {name} both published to topic {topic}: a topic belongs to one share; give each generator "
                    "a different FANBENCH_SHARE, and all the same FANBENCH_TOPICS"
                )


def _clocks(reports: Sequence[GeneratorReport]) -> dict[str, ClockOffset]:
    merged: dict[str, ClockOffset] = {}
    for server in sorted({server for report in reports for server in report.clocks}):
        known = [report.clocks[server] for report in reports if server in report.clocks]
        lowest = max(one.ahead_ms - one.bound_ms for one in known)
        highest = min(one.ahead_ms + one.bound_ms for one in known)
        if lowest <= highest:
            merged[server] = min(known, key=lambda one: one.bound_ms)
    return merged
