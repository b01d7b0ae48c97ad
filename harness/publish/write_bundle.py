"""Writes a bundle of result directories: one file with everything that a stranger needs to derive their reports again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from core.contracts.bundle import BundleIndex
from core.contracts.codec import encode
from core.errors import FanbenchError, UsageError
from harness.analysis.fault_evidence import evidence_among, results_of_faults
from harness.analysis.stored_results import Result
from harness.publish.archive import INDEX, REPORT, RESULT_FILES, SUFFIX, pack, result_name
from harness.publish.contradictions import Contradiction
from harness.publish.derive import load
from harness.publish.verify import measured_differences, this_fanbench
from harness.results.load import result_folders
from harness.results.read_file import read_file
from harness.results.store import PARTIAL, store_verdict, write_bytes, write_text

MOST_NAMED = 5
"""The largest number of differences in one error."""
MAX_LOG_BYTES = 256 * 1024 * 1024


def write_bundle(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write a bundle of result directories, or of those directly in a directory, and return its path.

    The bundle includes the results of faults next to a comparison if its report shows them. The verdict is derived again,
    as `fanbench report` does.

    Raises:
        UsageError: a directory is not a result, is damaged or is not finished, two have one name, or the path is not a regular file.
        FanbenchError: a directory's files contradict each other, or the bundle cannot be written.
    """
    with TemporaryDirectory(prefix="fanbench-bundle-") as scratch:
        members = _members(_with_evidence(result_folders(*folders)), Path(scratch))
    path = out or folders[0].resolve().with_name(folders[0].resolve().name + SUFFIX)
    target = path.resolve()  # writes to a link's target
    if target.exists() and not target.is_file():
        raise UsageError(f"{path}: it is not a regular file; give another file with --out")
    try:
        write_bytes(target, pack(members))
    except OSError as error:
        raise FanbenchError(f"{path}: {error.strerror}; give another file with --out") from error
    return path


def _with_evidence(folders: Sequence[Path]) -> list[Path]:
    """Return the directories, and those next to them whose faults their reports show."""
    found = {result_name(folder): folder for folder in folders}
    if len(found) < len(folders):
        raise UsageError("two result directories have the same name; rename one of them")
    beside: dict[Path, list[Result]] = {}
    for folder in folders:
        if folder.name.endswith(PARTIAL):
            raise UsageError(f"{folder} still runs, or its fanbench was killed; name the finished directories instead")
        stored = load(folder)
        if not Result(folder.name, stored.comparison, stored.search is not None).compares:
            continue
        parent = folder.resolve().parent
        if parent not in beside:
            beside[parent] = results_of_faults(parent)
        evidence = evidence_among(folder.resolve().name, stored.comparison, beside[parent])
        for name in sorted({cell.result for cell in evidence.cells.values()} - {folder.resolve().name}):
            found.setdefault(name, parent / name)
    return [found[name] for name in sorted(found)]


def _members(folders: Sequence[Path], scratch: Path) -> dict[str, bytes]:
    """Return every file of the bundle. The figures are derived only from the bundle's own content.

    Raises:
        FanbenchError: the files contradict each other.
    """
    for folder in folders:
        copy = scratch / result_name(folder)
        copy.mkdir()
        for file in (*RESULT_FILES, "capacity.json"):
            if file != "capacity.json" or (folder / file).exists():
                (copy / file).write_bytes(read_file(folder, file).encode())
    beside = results_of_faults(scratch)
    differences: list[Contradiction] = []
    for folder in folders:
        stored = load(scratch / result_name(folder))
        differences += measured_differences(stored)
        figures = stored.figures(beside, derived_by=this_fanbench(), logs=_logs(folder))
        store_verdict(stored.folder, stored.comparison, figures.verdict)
        write_text(stored.folder / REPORT, encode(figures, indent=1) + "\n")
    _require_none(differences)
    members = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in sorted(scratch.glob("*/*"))}
    index = BundleIndex(files={name: sha256(data).hexdigest() for name, data in sorted(members.items())})
    return members | {INDEX: (encode(index, indent=1) + "\n").encode()}


def _require_none(differences: Sequence[Contradiction]) -> None:
    if differences:
        said = "; ".join(str(one) for one in differences[:MOST_NAMED])
        more = f"; and {len(differences) - MOST_NAMED} more" if len(differences) > MOST_NAMED else ""
        raise FanbenchError(f"not bundled, because the files contradict each other: {said}{more}; measure again")


def _logs(folder: Path) -> dict[str, str]:
    """Return the hash of each log in a result directory.

    Raises:
        UsageError: one is too large to be a log of fanbench's.
    """
    return {
        str(path.relative_to(folder / "logs")): _digest(path)
        for path in sorted((folder / "logs").rglob("*"))
        if path.is_file()
    }


def _digest(log: Path) -> str:
    with log.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_LOG_BYTES:
            raise UsageError(
                f"{log}: it has over {MAX_LOG_BYTES >> 20} MiB; remove it, because a bundle has only its hash"
            )
        return file_digest(file, "sha256").hexdigest()
