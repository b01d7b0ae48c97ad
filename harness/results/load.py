"""Reads result directories: a comparison, its manifest alone, a capacity search, and whether there are any."""

from __future__ import annotations

from pathlib import Path

from core.contracts.capacity import Capacity
from core.contracts.codec import D, DocumentError, decode
from core.contracts.manifest import Manifest
from core.contracts.run_record import RunRecord, TimelineRow, read_histograms, read_summary, read_timeline
from core.errors import UsageError
from core.topics import expand_topics
from harness.results.read_file import read_file
from harness.results.run_files import run_of
from harness.results.run_record import Comparison, Run

MAX_TOPICS_IN_ALL = 1_000_000
"""Limit of the distinct scenarios of a result directory."""


def load_results(folder: Path) -> Comparison:
    """Read a result directory back, also a `.partial` one that a killed fanbench left behind.

    Raises:
        UsageError: it is not a result directory, or one of its files is damaged; the message names the file.
    """
    manifest = load_manifest(folder)
    try:
        runs = _runs(folder, manifest)
    except DocumentError as error:
        raise UsageError(str(error)) from error
    return Comparison(
        name=manifest.name,
        scenario=manifest.scenario,
        runs=runs,
        started_utc=manifest.started_utc,
        command=manifest.command,
        host=manifest.host,
        versions=manifest.versions,
        libraries=manifest.libraries,
        fanbench=manifest.fanbench,
        settings=manifest.settings,
        stopping=manifest.stopping,
        lanes=manifest.lanes,
        complete=manifest.complete,
        verdict=manifest.verdict,
    )


def load_manifest(folder: Path) -> Manifest:
    """A result directory's manifest, without its runs' figures.

    Raises:
        UsageError: it is not a result directory, or its manifest is damaged.
    """
    return _document(folder, "manifest.json", Manifest)


def load_capacity(folder: Path) -> Capacity | None:
    """Return the findings of a capacity search; None for the directory of a comparison.

    Raises:
        UsageError: capacity.json is damaged.
    """
    return _document(folder, "capacity.json", Capacity) if (folder / "capacity.json").exists() else None


def result_folders(*paths: Path) -> list[Path]:
    """The result directories among `paths` and directly below them, ordered by name below each path.

    Raises:
        UsageError: a path is not a result directory and contains none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(manifest.parent for manifest in path.glob("*/manifest.json"))
        if not inside or (path / "manifest.json").exists():
            read_file(path, "manifest.json")
            inside = [path]
        found += inside
    return found


def _runs(folder: Path, manifest: Manifest) -> list[Run]:
    """The runs that the manifest names, from the other three files."""
    rows = {row.further.run: row for row in read_summary(read_file(folder, "summary.csv"), f"{folder}/summary.csv")}
    seconds: dict[int, list[TimelineRow]] = {}
    for second in read_timeline(read_file(folder, "timeline.csv"), f"{folder}/timeline.csv"):
        seconds.setdefault(second.run, []).append(second)
    encoded = {
        entry.run: entry
        for entry in read_histograms(read_file(folder, "histograms.json"), f"{folder}/histograms.json").runs
    }
    _require_few_topics(manifest, folder)
    runs = []
    for entry in manifest.order:
        for name, found in (("summary.csv", rows), ("histograms.json", encoded)):
            if entry.run not in found:
                raise UsageError(f"{folder}/{name} lacks run {entry.run}, which manifest.json names; measure again")
        record = RunRecord(
            row=rows[entry.run], seconds=tuple(seconds.get(entry.run, ())), histograms=encoded[entry.run]
        )
        try:
            runs.append(run_of(record, entry, manifest.scenario, f"{folder}/manifest.json"))
        except ValueError as error:
            raise UsageError(f"{folder}/histograms.json: run {entry.run}: {error}; measure again") from error
    return runs


def _require_few_topics(manifest: Manifest, folder: Path) -> None:
    """Limit the topics: they are expanded for each scenario, and 100,000 in each of 10,000 runs would take minutes.

    Raises:
        UsageError: they are too many.
    """
    own = [text for entry in manifest.order if isinstance(text := entry.scenario.get("topics"), str)]
    total = 0
    for text in dict.fromkeys(own):
        total += len(expand_topics(text))
        if total > MAX_TOPICS_IN_ALL:
            raise UsageError(f"{folder}/manifest.json: its runs have over {MAX_TOPICS_IN_ALL} topics; measure again")


def _document(folder: Path, name: str, kind: type[D]) -> D:
    try:
        return decode(kind, read_file(folder, name), f"{folder}/{name}")
    except DocumentError as error:
        raise UsageError(str(error)) from error
