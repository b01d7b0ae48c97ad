"""The texts of a result directory's files, from a comparison and back; results/README.md describes them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench.model import Comparison, Run, TimelineRow
from bench.summary import COLUMNS, FURTHER, counts_of, row_of
from core.histogram import Histogram
from core.scenario import Scenario

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


class Point(BaseModel):
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
    points: list[Point]


def hide_passwords(value: Any) -> Any:
    """`value` with the password of each URL in its texts replaced by ***, however deep they lie."""
    if isinstance(value, str):
        return _PASSWORD.sub(r"\1:***@", value)
    if isinstance(value, Mapping):
        return {hide_passwords(key): hide_passwords(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [hide_passwords(item) for item in value]
    return value


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(hide_passwords(row) for row in rows)
    return text.getvalue()


def summary_text(runs: Sequence[Run]) -> str:
    """summary.csv: one row per run."""
    figures = sorted({name for run in runs for name in run.figures})
    return _table([*COLUMNS, *FURTHER, *figures], [row_of(run, number) for number, run in enumerate(runs, 1)])


def timeline_text(runs: Sequence[Run]) -> str:
    """timeline.csv: one row per run and second."""
    rows: list[dict[str, object]] = []
    for number, run in enumerate(runs, 1):
        for second in run.timeline:
            latencies = (round(value, 3) for value in (second.p50_ms, second.p99_ms, second.max_ms))
            values = (number, run.contender, run.round, second.t_s, second.deliveries, *latencies)
            rows.append(dict(zip(TIMELINE_COLUMNS, values, strict=True)))
    return _table(TIMELINE_COLUMNS, rows)


def histograms_text(runs: Sequence[Run]) -> str:
    """histograms.json: the histograms of each run, by hop."""
    entries = [
        {"run": number, "contender": run.contender, "round": run.round}
        | {"histograms": {hop: histogram.encode() for hop, histogram in run.histograms.items()}}
        for number, run in enumerate(runs, 1)
    ]
    return json.dumps(hide_passwords({"format": "HDR V2, base64, microseconds", "runs": entries}), indent=1) + "\n"


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
        runs.append(Run(timeline=seconds.get(entry.run, []), problems=entry.problems, notes=entry.notes, **fields))
    return runs
