"""Writes result directories while a comparison runs, so that finished runs survive any end; load.py reads them back.

The manifest is written last and names the runs that count, so a run that was half written when fanbench was killed does
not count. results/README.md describes the files.
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
from core.contracts.codec import encode
from core.contracts.manifest import Stopping
from core.contracts.run_record import (
    RunRecord,
    histograms_text,
    summary_text,
    timeline_text,
)
from core.errors import FanbenchError, UsageError
from core.scenario import Scenario
from harness.results.run_files import as_shown, as_stored, manifest_text, record_of, without_password
from harness.results.run_record import Comparison, Run

PARTIAL = ".partial"
INCOMPLETE = "-incomplete"
LEAST_ROOM_BYTES = 256 * 1024
"""Free bytes below which a disk counts as full: a run writes about as much."""


@dataclass(slots=True)
class ResultFolder:
    """One result directory while its comparison runs."""

    path: Path
    """`results/<UTC time>-<name>.partial/`, and after `finish` without `.partial`."""
    comparison: Comparison
    _records: list[RunRecord] = field(default_factory=list)
    _kept: int = 0
    """The stored runs."""

    @property
    def logs(self) -> Path:
        """The directory for the output of every child process."""
        return self.path / "logs"

    def add_run(self, run: Run) -> Run:
        """Store a finished run and return it as stored; it then survives Ctrl-C and kill."""
        stored = as_stored(replace(run, problems=self._within(run.problems), notes=self._within(run.notes)))
        self.comparison.runs.append(stored)
        self._records.append(record_of(stored, len(self.comparison.runs)))
        self._save()
        return stored

    def _within(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The texts with paths relative to this directory, which is renamed at the end and may be published."""
        for folder in (self.path.resolve(), self.path):
            texts = [text.replace(f"{folder}{os.sep}", "") for text in texts]
        return tuple(texts)

    def add_versions(self, versions: Mapping[str, str]) -> None:
        """Store versions of programs, known once they have run."""
        self.comparison.versions.update(_without_passwords(versions))
        self._save()

    def set_stopping(self, stopping: Stopping) -> None:
        """Store when the comparison may end, or that it has ended."""
        self.comparison = replace(self.comparison, stopping=stopping)
        self._save()

    def finish(self, *, complete: bool, verdict: Sequence[str] = ()) -> Path:
        """Write the last manifest, rename the directory and return its new path.

        An interrupted comparison (`complete=False`) is renamed too, with `-incomplete` at the end of its name.

        Raises:
            FanbenchError: the disk is full; the directory is renamed and keeps what was stored before.
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
        """Call this after a failed run, to check whether the disk is the cause.

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
        kept = f"the {self._kept} earlier runs are kept in {self.path}" if self._kept else "no run was stored before"
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
    """Write capacity.json, which marks the directory as a search's."""
    write_text(folder / "capacity.json", encode(found, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file, like `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file atomically: after a kill or on a full disk, and for any reader, it has the old content or the new one."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(data)
    except OSError as error:
        temporary.unlink(missing_ok=True)  # a partial file would occupy space that the next one needs
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
    lanes: int = 1,
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
        lanes=lanes,
        complete=False,
    )
    folder = ResultFolder(path, comparison)
    folder._save()
    return folder


def _new_folder(parent: Path, stem: str) -> Path:
    """Make a directory whose name is unique, even among comparisons that began in the same second."""
    taken = {path.name.removesuffix(PARTIAL).removesuffix(INCOMPLETE) for path in parent.glob(f"{stem}*")}
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    path = parent / (name + PARTIAL)
    path.mkdir()
    return path
