"""Verifies a bundle: derives every number of its report and its verdict again, and names each value that differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from core.build import installed_version, source_commit
from core.contracts.bundle import BundleIndex
from core.contracts.codec import DocumentError, decode
from core.contracts.report_figures import ReportFigures
from core.errors import UsageError
from harness.analysis.fault_evidence import results_of_faults
from harness.analysis.stored_results import Result
from harness.publish.archive import INDEX, REPORT, RESULT_FILES, unpack
from harness.publish.capacity_checks import capacity_differences
from harness.publish.contradictions import Contradiction, unequal
from harness.publish.derive import StoredResult, load
from harness.publish.row_checks import row_differences
from harness.results.read_file import read_file


@dataclass(frozen=True, slots=True)
class VerifiedResult:
    """One checked result of a bundle."""

    name: str
    figures: ReportFigures
    """The stored figures."""
    stored: StoredResult


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of checking a bundle."""

    sha256: str
    """The hash of the whole file."""
    results: tuple[VerifiedResult, ...]
    differences: tuple[Contradiction, ...]
    """If empty, every figure follows from the histograms and rows, and every file has its hash."""


def this_fanbench() -> dict[str, str]:
    """Return the version and commit of this fanbench, which derives the figures."""
    return {"version": installed_version(), "commit": source_commit()}


def verify(path: Path) -> Verification:
    """Check a bundle.

    Raises:
        UsageError: the file is not a bundle, is damaged, or has another version.
    """
    members = unpack(path)
    with TemporaryDirectory(prefix="fanbench-verify-") as folder:
        try:
            found = verify_members(members, Path(folder))
        except (UsageError, DocumentError) as error:
            raise UsageError(f"{path}: {str(error).replace(f'{folder}/', '')}") from error
    return Verification(sha256(path.read_bytes()).hexdigest(), *found)


def verify_members(
    members: Mapping[str, bytes], folder: Path
) -> tuple[tuple[VerifiedResult, ...], tuple[Contradiction, ...]]:
    """Check the files of a bundle; writes them into the empty `folder` first.

    Raises:
        UsageError: a file is missing or damaged. DocumentError: bundle.json or report.json cannot be read.
    """
    index = decode(BundleIndex, members[INDEX], INDEX)
    differences = list(_hashes(index, members))
    names = write_results(members, folder)
    beside = results_of_faults(folder)
    results = []
    for name in names:
        stored = load(folder / name)
        figures = decode(ReportFigures, read_file(folder / name, REPORT), f"{name}/{REPORT}")
        results.append(VerifiedResult(name, figures, stored))
        differences += measured_differences(stored)
        differences += _reported(stored, figures, beside)
    return tuple(results), tuple(differences)


def write_results(members: Mapping[str, bytes], folder: Path) -> list[str]:
    """Write the members as result directories and return their names; `unpack` has checked each path.

    Raises:
        UsageError: a result lacks a file.
    """
    names = sorted({name.partition("/")[0] for name in members if name != INDEX})
    if not names:
        raise UsageError("it contains no result; make the bundle again with fanbench bundle")
    for name in names:
        (folder / name).mkdir()
        for file in (*RESULT_FILES, REPORT):
            if f"{name}/{file}" not in members:
                raise UsageError(f"{name} lacks {file}; make the bundle again with fanbench bundle")
    for name, data in members.items():
        if name != INDEX:
            (folder / name).write_bytes(data)
    return names


def _hashes(index: BundleIndex, members: Mapping[str, bytes]) -> Iterator[Contradiction]:
    derived = {name: sha256(data).hexdigest() for name, data in sorted(members.items()) if name != INDEX}
    yield from unequal(f"{INDEX}: sha256 of ", dict(sorted(index.files.items())), derived)


def measured_differences(stored: StoredResult) -> list[Contradiction]:
    """Return the contradictions between the files of a result directory, regardless of its report."""
    name = stored.folder.name
    found = list(row_differences(stored.folder, stored.manifest, stored.comparison))
    if stored.search is not None:
        found += capacity_differences(f"{name}/capacity.json", stored.search, stored.comparison)
    return found


def _reported(stored: StoredResult, figures: ReportFigures, beside: Sequence[Result]) -> list[Contradiction]:
    derived = stored.figures(beside, derived_by=figures.derived_by, logs=figures.logs)
    name = stored.folder.name
    verdict = unequal(f"{name}/manifest.json: verdict", stored.manifest.verdict, derived.verdict)
    return [*verdict, *unequal(f"{name}/{REPORT}: ", figures, derived)]
