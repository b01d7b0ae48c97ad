"""The texts of a result directory's files, from a comparison and back; results/README.md describes them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.histogram import Histogram
from core.scenario import Scenario
from harness.results.run_record import Comparison, Run, TimelineRow
from harness.results.summary import COLUMNS, FURTHER, counts_of, row_of

SCHEMA_VERSION = 1
TIMELINE_COLUMNS = ("run", "contender", "round", "t_s", "deliveries", "p50_ms", "p99_ms", "max_ms")

_PASSWORD = re.compile(r"(://[^/?#\s:@]*):[^/?#\s]*@")


class RunEntry(BaseModel):
    """What the manifest says of one run, in the order in which they ran."""

    run: int
    contender: str
    round: int
    scenario: dict[str, Any] = {}
    """The fields in which its scenario differs from the comparison's."""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    negative: dict[str, int] = {}
    disturbed: bool = False
    permanent: bool = False


class Manifest(BaseModel):
    """manifest.json."""

    model_config = ConfigDict(extra="ignore")

    schema_version: int
    name: str
    started_utc: str
    complete: bool
    verdict: tuple[str, ...] = ()
    command: str = ""
    scenario: Scenario
    host: dict[str, str] = {}
    versions: dict[str, str] = {}
    order: list[RunEntry]


class CapacityPoint(BaseModel):
    """One run of a capacity search."""

    load: int
    held: bool
    p99_ms: float
    lost: int
    why: str
    """What broke: the objective, or the check that refused the run; empty when it held."""
    judged: bool = True
    """False when the machine disturbed the run, so that it says nothing of the load."""


class Capacity(BaseModel):
    """capacity.json: what a search found; `held` is the largest load that held, `broke` the next that did not."""

    contender: str
    vary: str
    slo: str
    held: int | None
    broke: int | None
    confirmed: bool
    note: str = ""
    p99_ms: tuple[float, float, float] | None = None
    """Of the runs at `held` together, and its interval: estimate, low, high."""
    points: list[CapacityPoint]


def hide_passwords(value: Any) -> Any:
    """`value` with the password of each URL in its texts replaced by ***, however deep they lie."""
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1:***@", value)
    if isinstance(value, Mapping):
        return {hide_passwords(key): hide_passwords(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [hide_passwords(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the files hold of one run, made once: they are written again after every run."""

    row: dict[str, Any]
    """Of summary.csv."""
    seconds: list[dict[str, Any]]
    """Rows of timeline.csv."""
    histograms: dict[str, Any]
    """The entry of histograms.json."""

    @classmethod
    def of(cls, run: Run, number: int) -> RunRecord:
        """`number` is the run's place in their order, from 1. Passwords are hidden."""
        seconds = []
        for second in run.timeline:
            latencies = (round(value, 3) for value in (second.p50_ms, second.p99_ms, second.max_ms))
            values = (number, run.contender, run.round, second.t_s, second.deliveries, *latencies)
            seconds.append(dict(zip(TIMELINE_COLUMNS, values, strict=True)))
        entry = {"run": number, "contender": run.contender, "round": run.round}
        entry |= {"histograms": {hop: histogram.encode() for hop, histogram in run.histograms.items()}}
        return cls(*hide_passwords([row_of(run, number), seconds, entry]))


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary_text(records: Sequence[RunRecord]) -> str:
    """summary.csv: one row per run."""
    known = [*COLUMNS, *FURTHER]
    figures = sorted({name for record in records for name in record.row} - {*known})
    return _table([*known, *figures], (record.row for record in records))


def timeline_text(records: Sequence[RunRecord]) -> str:
    """timeline.csv: one row per run and second."""
    return _table(TIMELINE_COLUMNS, (second for record in records for second in record.seconds))


def histograms_text(records: Sequence[RunRecord]) -> str:
    """histograms.json: the histograms of each run, by hop."""
    runs = [record.histograms for record in records]
    return json.dumps({"format": "HDR V2, base64, microseconds", "runs": runs}, indent=1) + "\n"


def manifest_text(comparison: Comparison) -> str:
    """manifest.json: what was compared, on what, and which runs count, in their order."""
    base = comparison.scenario.model_dump()
    order = [
        RunEntry(
            run=number,
            contender=run.contender,
            round=run.round,
            scenario={name: value for name, value in run.scenario.model_dump().items() if value != base[name]},
            problems=run.problems,
            notes=run.notes,
            negative={hop: histogram.negative for hop, histogram in run.histograms.items() if histogram.negative},
            disturbed=run.disturbed,
            permanent=run.permanent,
        )
        for number, run in enumerate(comparison.runs, 1)
    ]
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=comparison.name,
        started_utc=comparison.started_utc,
        complete=comparison.complete,
        verdict=comparison.verdict,
        command=comparison.command,
        scenario=comparison.scenario,
        host=comparison.host,
        versions=comparison.versions,
        order=order,
    )
    return json.dumps(hide_passwords(manifest.model_dump()), indent=1, ensure_ascii=False) + "\n"


def parse_runs(manifest: Manifest, summary: str, timeline: str, histograms: str) -> list[Run]:
    """The runs that the manifest names, from the texts of the other three files.

    Raises:
        KeyError: a run, a column or a field is missing.
        ValueError: a cell is not a number, or a histogram is not one.
    """
    rows = {int(row["run"]): row for row in csv.DictReader(io.StringIO(summary))}
    seconds: dict[int, list[TimelineRow]] = {}
    for row in csv.DictReader(io.StringIO(timeline)):
        second = TimelineRow(
            float(row["t_s"]), int(row["deliveries"]), *(float(row[name]) for name in TIMELINE_COLUMNS[-3:])
        )
        seconds.setdefault(int(row["run"]), []).append(second)
    encoded = {entry["run"]: entry["histograms"] for entry in json.loads(histograms)["runs"]}
    runs = []
    for entry in manifest.order:
        fields: dict[str, Any] = counts_of(rows[entry.run])
        fields["scenario"] = Scenario.model_validate(manifest.scenario.model_dump() | entry.scenario)
        fields["histograms"] = {hop: Histogram.decode(text) for hop, text in encoded[entry.run].items()}
        for hop, negative in entry.negative.items():
            fields["histograms"][hop].negative = negative
        fields |= {"disturbed": entry.disturbed, "permanent": entry.permanent}
        runs.append(Run(timeline=seconds.get(entry.run, []), problems=entry.problems, notes=entry.notes, **fields))
    return runs
