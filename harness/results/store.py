"""Result directories: written while a comparison runs, so that what is finished survives any end, and read back.

The manifest is written last and names the runs that count: what a killed fanbench left half written is not among
them. results/README.md describes the files.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from core.contracts.capacity import Capacity
from core.contracts.codec import D, DocumentError, decode, encode
from core.contracts.manifest import Manifest, Stopping
from core.contracts.run_record import (
    HistogramsFile,
    RunRecord,
    TimelineRow,
    histograms_text,
    read_summary,
    read_timeline,
    summary_text,
    timeline_text,
)
from core.errors import FanbenchError, UsageError
from core.scenario import Scenario
from core.topics import expand_topics
from harness.results.read_file import read_file
from harness.results.run_files import as_shown, as_stored, manifest_text, record_of, run_of, without_password
from harness.results.run_record import Comparison, Run

PARTIAL = ".partial"
INCOMPLETE = "-incomplete"
MAX_TOPICS_IN_ALL = 1_000_000
"""Of the scenarios of a result directory that differ."""
LEAST_ROOM_BYTES = 256 * 1024
"""Below this a disk is full: a run writes about as much."""


@dataclass(slots=True)
class ResultFolder:
    """One result directory while its comparison runs."""

    path: Path
    """`results/<UTC time>-<name>.partial/`, and after `finish` without `.partial`."""
    comparison: Comparison
    _records: list[RunRecord] = field(default_factory=list)
    _kept: int = 0
    """Runs that the files hold."""

    @property
    def logs(self) -> Path:
        """Where the output of every child process goes."""
        return self.path / "logs"

    def add_run(self, run: Run) -> Run:
        """Store a finished run, and return it as it is stored: from now on it survives Ctrl-C and kill."""
        stored = as_stored(run)
        self.comparison.runs.append(stored)
        self._records.append(record_of(stored, len(self.comparison.runs)))
        self._save()
        return stored

    def add_versions(self, versions: Mapping[str, str]) -> None:
        """Store versions of programs, known once they have run."""
        self.comparison.versions.update(_without_passwords(versions))
        self._save()

    def set_stopping(self, stopping: Stopping) -> None:
        """Store how the comparison ended."""
        self.comparison = replace(self.comparison, stopping=stopping)
        self._save()

    def finish(self, *, complete: bool, verdict: Sequence[str] = ()) -> Path:
        """Write the last manifest, rename the directory and return its new path.

        An interrupted comparison (`complete=False`) is renamed too, with `-incomplete` at the end of its name.

        Raises:
            FanbenchError: the disk takes no more; the directory is renamed, and holds what was stored before.
        """
        said = tuple(map(as_shown, verdict))
        self.comparison = replace(self.comparison, complete=complete, verdict=said)
        failed: OSError | None = None
        try:
            self._write()
        except OSError as error:
            failed, complete = error, False
        name = self.path.name.removesuffix(PARTIAL) + ("" if complete else INCOMPLETE)
        self.path = self.path.rename(self.path.with_name(name))
        if failed is not None:
            raise self._not_stored(failed)
        return self.path

    def require_room(self) -> None:
        """To be called after a run failed, which it may have done for that.

        Raises:
            FanbenchError: the disk is full.
        """
        if shutil.disk_usage(self.path).free < LEAST_ROOM_BYTES:
            raise self._not_stored(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)))

    def _save(self) -> None:
        try:
            self._write()
        except OSError as error:
            raise self._not_stored(error) from error

    def _write(self) -> None:
        write_text(self.path / "summary.csv", summary_text(self._records))
        write_text(self.path / "timeline.csv", timeline_text(self._records))
        write_text(self.path / "histograms.json", histograms_text(self._records))
        write_text(self.path / "manifest.json", manifest_text(self.comparison))
        self._kept = len(self._records)

    def _not_stored(self, error: OSError) -> FanbenchError:
        kept = f"the {self._kept} runs before are kept in {self.path}" if self._kept else "no run was stored before"
        return FanbenchError(
            f"{error.filename or self.path}: {error.strerror}; {kept}; make room, or give another --out"
        )


def _without_passwords(texts: Mapping[str, str]) -> dict[str, str]:
    return {as_shown(name): as_shown(text) for name, text in texts.items()}


def store_verdict(folder: Path, comparison: Comparison, verdict: Sequence[str]) -> Comparison:
    """Put the verdict into the manifest of the comparison's directory, and return the comparison with it."""
    said = replace(comparison, verdict=tuple(map(as_shown, verdict)))
    write_text(folder / "manifest.json", manifest_text(said))
    return said


def store_capacity(folder: Path, found: Capacity) -> None:
    """Write capacity.json: what makes the directory one of a search."""
    write_text(folder / "capacity.json", encode(found, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader, or a kill, finds the old text or the new one."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        temporary.unlink(missing_ok=True)  # half a file would keep the room that the next one needs
        raise OSError(error.errno, error.strerror, str(path)) from error  # a write that fails names no file
    temporary.replace(path)


def open_results(
    parent: Path,
    name: str,
    *,
    scenario: Scenario,
    command: str,
    host: Mapping[str, str],
    versions: Mapping[str, str],
    libraries: Mapping[str, str] | None = None,
    fanbench: Mapping[str, str] | None = None,
    settings: Mapping[str, dict[str, int]] | None = None,
    stopping: Stopping | None = None,
) -> ResultFolder:
    """Make `parent/<UTC time>-<name>.partial/` with `logs` and `charts` in it, and a manifest without runs.

    Raises:
        UsageError: the directory cannot be made.
    """
    started = datetime.now(UTC)
    stem = f"{started:%Y%m%dT%H%M%SZ}-{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-.') or 'results'}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        path = _new_folder(parent, stem)
        (path / "logs").mkdir()
        (path / "charts").mkdir()
    except OSError as error:
        raise UsageError(f"results directory {parent}: {error.strerror}; give another one with --out") from error
    comparison = Comparison(
        name=as_shown(name),
        scenario=without_password(scenario),
        runs=[],
        started_utc=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        command=as_shown(command),
        host=_without_passwords(host),
        versions=_without_passwords(versions),
        libraries=dict(libraries or {}),
        fanbench=dict(fanbench or {}),
        settings=dict(settings or {}),
        stopping=stopping or Stopping(),
        complete=False,
    )
    folder = ResultFolder(path, comparison)
    folder._save()
    return folder


def _new_folder(parent: Path, stem: str) -> Path:
    """A directory of a name that no other comparison has, also not one that began in the same second."""
    taken = {path.name.removesuffix(PARTIAL).removesuffix(INCOMPLETE) for path in parent.glob(f"{stem}*")}
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    path = parent / (name + PARTIAL)
    path.mkdir()
    return path


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
        complete=manifest.complete,
        verdict=manifest.verdict,
    )


def load_manifest(folder: Path) -> Manifest:
    """What a result directory says of itself, without its runs' figures.

    Raises:
        UsageError: it is not a result directory, or its manifest is damaged.
    """
    return _document(folder, "manifest.json", Manifest)


def load_capacity(folder: Path) -> Capacity | None:
    """What a capacity search found; None for the directory of a comparison.

    Raises:
        UsageError: capacity.json is damaged.
    """
    return _document(folder, "capacity.json", Capacity) if (folder / "capacity.json").exists() else None


def result_folders(*paths: Path) -> list[Path]:
    """The result directories among `paths` and right below them, in the order of their names below each path.

    Raises:
        UsageError: a path is neither a result directory nor holds one.
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
    encoded = {entry.run: entry for entry in _document(folder, "histograms.json", HistogramsFile).runs}
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
    """Each scenario's topics are expanded; 100,000 in each of 10,000 runs would take minutes.

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
