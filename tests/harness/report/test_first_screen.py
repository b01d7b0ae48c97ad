"""The first screen agrees with the files: each cell and sentence is derived again from summary.csv and histograms.json.

The product computes nothing here: rows are read with csv, histograms with the HDR library, ratios are means of
logarithms.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import math
import re
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from harness.analysis.fault_evidence import faults_beside
from harness.report.page import render, view_of
from harness.results.load import load_results
from harness.results.store import open_results
from tests.harness import made_up

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "results" / "reference"
BROKERS = (ROOT / "docs" / "brokers.md").read_text(encoding="utf-8")
DASH = "–"
FAULTS = {
    "broker killed": "broker-kill",
    "broker hangs": "broker-stop",
    "link cut": "link-cut",
    "link slow": "link-delay",
    "link stalls": "link-stall",
    "proxy stalls": "proxy-stall",
    "generator cut off": "generator-cut",
    "replica killed": "replica-kill",
    "replicas restarted": "replica-restart",
    "clients stall": "clients-stall",
    "clients cut off": "clients-cut",
    "clients come and go": "clients-churn",
}
Row = Mapping[str, str]

pytestmark = pytest.mark.slow  # reads the reference results


class FirstScreen(HTMLParser):
    """The part above the other verdicts: the sentence, its certainty, the table, the commands."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.answer = self.certainty = ""
        self.headings: list[str] = []
        self.rows: list[list[list[str]]] = []
        """Each cell as its two lines."""
        self.notes: list[str] = []
        self._into: list[str] | None = None
        self._open = True
        self._table = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        if not self._open:
            return
        if tag == "ul":
            self._open = False
        self._table = self._table or "decision" in kind.split()
        if tag == "p":
            self._into = [""]
        elif self._table and tag == "tr":
            self.rows.append([])
        elif self._table and tag in ("th", "td"):
            self._into = ["", ""]
        elif self._table and tag == "small" and self._into is not None:
            self._into = [self._into[0], "\0"]

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            place = 1 if len(self._into) == 2 and self._into[1].startswith("\0") else 0
            self._into[place] += data

    def handle_endtag(self, tag: str) -> None:
        if self._into is None:
            return
        if tag in ("th", "td") and self.rows:
            self.rows[-1].append([text.lstrip("\0").strip() for text in self._into])
            self._into = None
        elif tag == "p":
            text = self._into[0].strip()
            self._into = None
            if not self.answer:
                self.answer = text
            elif not self.certainty:
                self.certainty = text
            else:
                self.notes.append(text)


@dataclass(frozen=True)
class Stored:
    """A result directory as a stranger reads it."""

    folder: Path
    rows: list[Row]
    """The valid runs over SSE."""
    histograms: Mapping[str, Mapping[str, str]]
    manifest: Mapping[str, object]
    cache: dict[tuple[str, str], HdrHistogram] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    @functools.cache
    def read(cls, folder: Path) -> Stored:
        with (folder / "summary.csv").open(newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["valid"] == "true"]
        entries = json.loads((folder / "histograms.json").read_text())["runs"]
        manifest = json.loads((folder / "manifest.json").read_text())
        return cls(folder, rows, {str(one["run"]): one["histograms"] for one in entries}, manifest)

    def of(self, contender: str) -> list[Row]:
        return [row for row in self.rows if row["contender"] == contender]

    def merged(self, contender: str, hop: str) -> HdrHistogram:
        if (contender, hop) not in self.cache:
            merged = HdrHistogram(1, 3_600_000_000, 3)
            for row in self.of(contender):
                merged.add(HdrHistogram.decode(self.histograms[row["run"]][hop]))
            self.cache[contender, hop] = merged
        return self.cache[contender, hop]

    def fault_of(self, row: Row) -> str:
        order = {str(entry["run"]): entry for entry in self.manifest["order"]}  # type: ignore[attr-defined]
        return str(order[row["run"]]["scenario"]["faults"][0]["kind"])


def in_ms(value_us: float) -> str:
    value = value_us / 1000
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def three_digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:.3g}"


def span(values: Sequence[float], write: Callable[[float], str]) -> str:
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low}–{high}"


def resampled(stored: Stored, contender: str) -> tuple[float, float]:
    """An interval of p99 over rounds from a different bootstrap: approximately the same."""
    if contender in stored.ranges:
        return stored.ranges[contender]
    counts = []
    for row in stored.of(contender):
        histogram = HdrHistogram.decode(stored.histograms[row["run"]]["latency"])
        counts.append(
            {item.value_iterated_to: item.count_added_in_this_iter_step for item in histogram.get_recorded_iterator()}
        )
    values = sorted({value for one in counts for value in one})
    table = np.array([[one.get(value, 0) for value in values] for one in counts])
    rng = np.random.default_rng(7)
    drawn = [table[rng.integers(0, len(table), len(table))].sum(axis=0).cumsum() for _ in range(200)]
    found = [values[int(np.searchsorted(running, running[-1] * 0.99))] / 1000 for running in drawn]
    stored.ranges[contender] = float(np.quantile(found, 0.05)), float(np.quantile(found, 0.95))
    return stored.ranges[contender]


def wrong_cells(screen: FirstScreen, stored: Stored, faults: Stored | None, only: int | None = None) -> list[str]:
    """Every cell of the table, or of one column, that does not follow from the files."""
    headings = [cell[0] for cell in screen.rows[0]]
    wrong = []
    for row in screen.rows[1:]:
        name = row[0][0]
        for place, (heading, cell) in enumerate(zip(headings, row, strict=True)):
            if place == 0 or only not in (None, place):
                continue
            wanted = expected(heading, name, stored, faults)
            if isinstance(wanted, str):
                wanted = [wanted, ""]
            if heading == "p99 ms" and wanted[0] != DASH:
                wrong += range_problems(cell[1], stored, name)
                wanted = [wanted[0], cell[1]]
            if not all(map(alike, cell, wanted)):
                wrong.append(f"{name}, {heading}: {cell}, and the files give {list(wanted)}")
    return wrong


def alike(said: str, wanted: str) -> bool:
    """Equal words, and equal numbers except for the last of three digits: a different order of float sums may change it."""
    number = r"\d[\d,]*(?:\.\d+)?"
    numbers = [[float(found.replace(",", "")) for found in re.findall(number, text)] for text in (said, wanted)]
    same = len(numbers[0]) == len(numbers[1]) and all(map(lambda a, b: math.isclose(a, b, rel_tol=0.006), *numbers))
    return same and re.sub(number, "#", said) == re.sub(number, "#", wanted)


def range_problems(said: str, stored: Stored, name: str) -> list[str]:
    match = re.fullmatch(r"([\d.]+)–([\d.]+)", said)
    if match is None:
        return [f"{name}: {said!r} is not a range"]
    low, high = float(match[1]), float(match[2])
    estimate = stored.merged(name, "latency").get_value_at_percentile(99) / 1000
    inner_low, inner_high = resampled(stored, name)
    if low <= inner_low * 1.02 and high >= inner_high * 0.98 and low <= estimate * 1.001 and high >= estimate * 0.999:
        return []
    return [f"{name}: {said} is narrower than {inner_low:.2f}–{inner_high:.2f} around {estimate:.2f}"]


def expected(heading: str, name: str, stored: Stored, faults: Stored | None) -> str | Sequence[str]:
    rows = stored.of(name)
    broker = [row for row in rows if row["broker_cpu_s"]]
    if heading == "p99 ms":
        return (
            [in_ms(stored.merged(name, "latency").get_value_at_percentile(99)), ""] if rows else [DASH, "no valid run"]
        )
    if heading == "lost here":
        return f"{sum(int(row['lost']) for row in rows):,}" if rows else DASH
    if heading == "broker hop ms":
        if name == "memory" or not rows:
            return DASH
        merged = stored.merged(name, "broker")
        return [in_ms(merged.get_value_at_percentile(50)), in_ms(merged.get_value_at_percentile(99))]
    if heading == "broker CPU, cores":
        if not broker:
            return DASH
        cores = sum(float(row["broker_cpu_s"]) for row in broker) / sum(float(row["duration_s"]) for row in broker)
        scaled = statistics.fmean(float(row["broker_cpu_s"]) / int(row["delivered"]) * 1e6 for row in broker)
        return [three_digits(cores), f"{three_digits(scaled)} s/M"]
    if heading == "broker MB":
        if not broker:
            return DASH
        sizes = [float(row["broker_rss_mb"]) for row in broker]
        hours = statistics.fmean(
            float(row["broker_rss_mb"]) * float(row["duration_s"]) / 3600 / int(row["delivered"]) * 1e6
            for row in broker
        )
        return [three_digits(max(sizes)), f"{three_digits(hours)} MB h/M"]
    return (
        declared(heading, name, stored)
        if heading not in ("faults", "one of 3 nodes dies", *FAULTS)
        else broken(heading, name, faults)
    )


def broken(heading: str, name: str, faults: Stored | None) -> str | Sequence[str]:
    rows = [row for row in faults.of(name) if faults.fault_of(row) == FAULTS.get(heading)] if faults else []
    if not rows:
        return DASH
    lost, silence = [int(row["lost"]) for row in rows], [float(row["silence_ms"]) / 1000 for row in rows]
    back = all(float(row["recovered"] or 1) >= 1 for row in rows)
    small = f"{span(silence, lambda value: f'{value:.1f}')} s{'' if back else ' · not all came back'}"
    return [span(lost, lambda value: f"{value:,.0f}"), small]


def declared(heading: str, name: str, stored: Stored) -> str | Sequence[str]:
    """Licences from the tables of docs/brokers.md and the manifest."""
    program = re.split("-", name)[0]
    if heading == "replay":
        return (
            DASH
            if name == "memory"
            else "yes"
            if name.endswith(("-streams", "-stream", "-jetstream", "-outbox"))
            else "no"
        )
    if heading == "durability, as run":
        if name == "memory":
            return "nothing is kept"
        rows = [line.split("|") for line in BROKERS.splitlines() if line.startswith("|") and f"`{name}`" in line]
        return next(
            row[2].strip()
            for row in rows
            if "fsync" in row[2] or "kept" in row[2] or "file" in row[2] or "disk" in row[2]
        )
    if heading == "licence, version":
        version = str(versions(stored).get(program, ""))
        wanted = program
        if program == "redis":
            wanted = "redis before 7.4" if tuple(map(int, version.split(".")[:2])) < (7, 4) else "redis 8.0 and later"
        rows = [
            line.split("|")
            for line in BROKERS.splitlines()
            if line.startswith(f"| {wanted} |") and len(line.split("|")) == 5
        ]
        return DASH if name == "memory" else [rows[0][2].strip(), version]
    raise AssertionError(f"an unknown column: {heading}")


def versions(stored: Stored) -> Mapping[str, str]:
    return stored.manifest["versions"]  # type: ignore[return-value]


def wrong_sentences(screen: FirstScreen, stored: Stored) -> list[str]:
    """Claims of the sentence and its certainty that do not follow from the files."""
    wrong = []
    names = {row["contender"] for row in stored.rows}
    order = [row[0][0] for row in screen.rows[1:]]
    p99 = {name: stored.merged(name, "latency").get_value_at_percentile(99) for name in names}
    promise = {row["contender"]: row["delivery"] for row in stored.rows}
    for one, other in itertools.pairwise(order):
        both = one in names and other in names and "memory" not in (one, other) and promise[one] == promise[other]
        if both and p99[one] > p99[other]:
            wrong.append(f"{one} stands before {other}")
    for group, low, high, figure in re.findall(
        r"(?:; not|nor) ([^(]+?) \(([\d.]+)x(?: to ([\d.]+)x)? slower in ([^)]+)\)", screen.answer
    ):
        column = "broker_p50_ms" if figure == "the broker hop" else f"{figure}_ms"
        slow = [name for name in re.split(r", | and ", group) if name in names]
        best = first_named(screen.answer, names)
        ratios = [f"{ratio(stored, column, best, name):.2g}" for name in slow]
        if not slow or {low, high or low} != {min(ratios, key=float), max(ratios, key=float)}:
            wrong.append(f"{group}: {low} to {high}x slower than {best} in {figure}; the files give {ratios}")
    rounds = {len(stored.of(name)) for name in names if name != "memory" and len(stored.of(name)) >= 5}
    often = f"{min(rounds)} valid" if len(rounds) == 1 else f"{min(rounds)} to {max(rounds)} valid"
    if f" {often} rounds of each" not in screen.certainty:
        wrong.append(f"not {often} rounds")
    if offered(stored.rows) not in screen.certainty:
        wrong.append(f"not {offered(stored.rows)}")
    return wrong


def offered(rows: Sequence[Row]) -> str:
    rate = statistics.median(float(row.get("offered_hz") or row["rate_hz"]) for row in rows)
    return f"{int(rows[0]['clients']):,} clients on {rows[0]['replicas']} replicas at {float(f'{rate:.3g}'):g} events/s"


def first_named(answer: str, names: Iterable[str]) -> str:
    return min(
        names, key=lambda name: m.start() if (m := re.search(rf"(?<![\w-]){name}(?![\w-])", answer)) else math.inf
    )


def ratio(stored: Stored, column: str, fast: str, slow: str) -> float:
    by_round = [{row["round"]: float(row[column]) for row in stored.of(name)} for name in (fast, slow)]
    common = by_round[0].keys() & by_round[1].keys()
    return math.exp(statistics.fmean(math.log(by_round[1][n] / by_round[0][n]) for n in common))


@functools.cache
def page_of(folder: Path) -> str:
    """The page without its charts, which are most of its cost."""
    comparison = load_results(folder)
    return render([view_of(comparison, None, faults_beside(folder, comparison), draw=False)])


def screen_of(folder: Path) -> FirstScreen:
    return FirstScreen(page_of(folder))


@pytest.fixture(scope="module", params=["broadcast", "burst"])
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of the reference with the faults next to it."""
    parent = tmp_path_factory.mktemp(request.param)
    for name in (request.param, "faults"):
        shutil.copytree(REFERENCE / name, parent / name)
    return parent / request.param


def test_every_cell_agrees_with_the_files(reference: Path) -> None:
    screen, stored = screen_of(reference), Stored.read(reference)
    assert len(screen.rows) > 10
    assert wrong_cells(screen, stored, Stored.read(reference.parent / "faults")) == []


def test_every_sentence_agrees_with_the_files(reference: Path) -> None:
    assert wrong_sentences(screen_of(reference), Stored.read(reference)) == []


def test_the_checker_finds_what_is_wrong(reference: Path) -> None:
    screen, stored = screen_of(reference), Stored.read(reference)
    faults = Stored.read(reference.parent / "faults")
    for place in range(1, len(screen.rows[0])):
        row = screen.rows[1]
        kept, row[place] = row[place], ["9" + row[place][0], row[place][1]]
        assert len(wrong_cells(screen, stored, faults, place)) == 1, screen.rows[0][place]
        row[place] = kept
    screen.certainty = screen.certainty.replace(" rounds of each", "7 rounds of each").replace(
        " events/s", "5 events/s"
    )
    assert len(wrong_sentences(screen, stored)) == 2


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contenders with losses, one of them slow, and faults in two rounds next to them."""
    parent = tmp_path_factory.mktemp("lossy")
    made = [
        made_up.run(name, r, broker_ms=broker, fanout_ms=fanout, lost={"broker": 3 * r} if name == "nats" else None)
        for r in range(1, 7)
        for name, broker, fanout in (
            ("valkey", 0.4, 6.0),
            ("nats", 0.4, 6.0),
            ("rabbitmq", 3.0, 18.0),
            ("memory", 0.01, 6.0),
        )
    ]
    broken_runs = [
        made_up.fault_run(name, kind, round=r, silence_ms=900.0 + 400 * r, lost={"gap": 11 * r})
        for r in (1, 2)
        for name in ("valkey", "nats")
        for kind in ("broker-kill", "clients-cut")
    ]
    for name, runs in (("broadcast", made), ("faults", broken_runs)):
        folder = open_results(
            parent,
            name,
            scenario=made_up.SCENARIO,
            command="fanbench",
            host={"cpu": "one"},
            versions={"valkey": "9.1.0", "nats": "2.15.1", "rabbitmq": "3.10.8"},
        )
        for run in runs:
            folder.add_run(run)
        folder.finish(complete=True)
    return next(parent.glob("*-broadcast"))


def test_losses_and_rounds_of_faults_agree_with_the_files(lossy: Path) -> None:
    screen, stored = screen_of(lossy), Stored.read(lossy)
    faults = Stored.read(next(lossy.parent.glob("*-faults")))
    assert wrong_cells(screen, stored, faults) == []
    assert wrong_sentences(screen, stored) == []
    cells = {cell[0]: cell for row in screen.rows[1:] if row[0][0] == "nats" for cell in row}
    assert cells["11–22"] == ["11–22", "1.3–1.7 s"]
    assert screen.answer.startswith("Take ")
    assert re.search(r"not rabbitmq \([\d.]+x slower in p\d+\)", screen.answer)
    assert "But at this load nats lost 63 of 30,000 deliveries." in screen.answer


def test_an_unmeasured_figure_has_a_dash_and_a_command_with_minutes(lossy: Path) -> None:
    screen = screen_of(lossy)
    rows = {row[0][0]: row for row in screen.rows[1:]}
    assert rows["rabbitmq"][[cell[0] for cell in screen.rows[0]].index("broker killed")][0] == DASH
    (faults,) = [note for note in screen.notes if note.startswith("Faults:")]
    assert re.search(r"fanbench faults rabbitmq \(about \d+ min\)", faults)
    assert any(re.search(r"fanbench faults \S*valkey-sentinel .*--fault leader-kill", note) for note in screen.notes)


def test_faults_of_another_machine_are_no_evidence(lossy: Path, tmp_path: Path) -> None:
    for folder in lossy.parent.iterdir():
        if folder.is_dir():
            shutil.copytree(folder, tmp_path / folder.name)
    (faults,) = tmp_path.glob("*-faults")
    manifest = json.loads((faults / "manifest.json").read_text())
    manifest["host"]["cpu"] = "another"
    (faults / "manifest.json").write_text(json.dumps(manifest))
    screen = screen_of(next(tmp_path.glob("*-broadcast")))
    assert "faults" in [cell[0] for cell in screen.rows[0]]
    assert [row[4] for row in screen.rows[1:]] == [[DASH, ""]] * 4
