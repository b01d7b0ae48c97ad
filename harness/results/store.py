"""Result directories: written while a comparison runs, so that what is finished survives any end, and read back.

The manifest is written last and names the runs that count: what a killed fanbench left half written is not among
them. results/README.md describes the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from core.errors import UsageError
from core.scenario import Scenario
from harness.results.files import (
    SCHEMA_VERSION,
    Capacity,
    Manifest,
    RunRecord,
    histograms_text,
    manifest_text,
    parse_runs,
    summary_text,
    timeline_text,
)
from harness.results.run_record import Comparison, Run

PARTIAL = ".partial"
INCOMPLETE = "-incomplete"


@dataclass(slots=True)
class ResultFolder:
    """One result directory while its comparison runs."""

    path: Path
    """`results/<UTC time>-<name>.partial/`, and after `finish` without `.partial`."""
    comparison: Comparison
    _records: list[RunRecord] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """Where the output of every child process goes."""
        return self.path / "logs"

    def add_run(self, run: Run) -> None:
        """Store a finished run: from now on it survives Ctrl-C and kill."""
        self.comparison.runs.append(run)
        self._records.append(RunRecord.of(run, len(self.comparison.runs)))
        self._save()

    def add_versions(self, versions: Mapping[str, str]) -> None:
        """Store versions of programs, known once they have run."""
        self.comparison.versions.update(versions)
        self._save()

    def finish(self, *, complete: bool, verdict: Sequence[str] = ()) -> Path:
        """Write the last manifest, rename the directory and return its new path.

        An interrupted comparison (`complete=False`) is renamed too, with `-incomplete` at the end of its name.
        """
        self.comparison = replace(self.comparison, complete=complete, verdict=tuple(verdict))
        self._save()
        name = self.path.name.removesuffix(PARTIAL) + ("" if complete else INCOMPLETE)
        self.path = self.path.rename(self.path.with_name(name))
        return self.path

    def _save(self) -> None:
        write_text(self.path / "summary.csv", summary_text(self._records))
        write_text(self.path / "timeline.csv", timeline_text(self._records))
        write_text(self.path / "histograms.json", histograms_text(self._records))
        write_text(self.path / "manifest.json", manifest_text(self.comparison))


def store_verdict(folder: Path, verdict: Sequence[str]) -> Comparison:
    """Put the verdict into the manifest of a stored comparison, and return the comparison with it.

    Raises:
        UsageError: it is not a result directory.
    """
    comparison = replace(load_results(folder), verdict=tuple(verdict))
    write_text(folder / "manifest.json", manifest_text(comparison))
    return comparison


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader, or a kill, finds the old text or the new one."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8", newline="")
    temporary.replace(path)


def open_results(
    parent: Path,
    name: str,
    *,
    scenario: Scenario,
    command: str,
    host: Mapping[str, str],
    versions: Mapping[str, str],
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
        name=name,
        scenario=scenario,
        runs=[],
        started_utc=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        command=command,
        host=dict(host),
        versions=dict(versions),
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
    manifest = _read_manifest(folder)
    texts = [_read(folder, name) for name in ("summary.csv", "timeline.csv", "histograms.json")]
    try:
        runs = parse_runs(manifest, *texts)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{folder}: summary.csv, timeline.csv or histograms.json does not fit manifest.json: {what}; measure again"
        ) from error
    return Comparison(
        name=manifest.name,
        scenario=manifest.scenario,
        runs=runs,
        started_utc=manifest.started_utc,
        command=manifest.command,
        host=manifest.host,
        versions=manifest.versions,
        complete=manifest.complete,
        verdict=manifest.verdict,
    )


def load_capacity(folder: Path) -> Capacity | None:
    """What a capacity search found; None for the directory of a comparison.

    Raises:
        UsageError: capacity.json is damaged.
    """
    if not (folder / "capacity.json").exists():
        return None
    try:
        return Capacity.model_validate_json(_read(folder, "capacity.json"))
    except ValidationError as error:
        raise UsageError(f"{folder}/capacity.json: {_first(error)}; measure again") from error


def result_folders(*paths: Path) -> list[Path]:
    """The result directories among `paths` and right below them, in the order of their names below each path.

    Raises:
        UsageError: a path is neither a result directory nor holds one.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(manifest.parent for manifest in path.glob("*/manifest.json"))
        if not inside or (path / "manifest.json").exists():
            _read(path, "manifest.json")
            inside = [path]
        found += inside
    return found


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the file'}: {first['msg']}"


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(
            f"{folder} is not a result directory: {name}: {reason}; give a directory that fanbench compare wrote"
        ) from error


def _read_manifest(folder: Path) -> Manifest:
    text = _read(folder, "manifest.json")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(f"{folder}/manifest.json: {_first(error)}; measure again") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise UsageError(
            f"{folder}/manifest.json has schema version {manifest.schema_version}, this fanbench reads up to "
            f"{SCHEMA_VERSION}; use a newer fanbench"
        )
    return manifest
