"""Writes a bundle of result directories: one file with all that a stranger needs to derive their reports again."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
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
from harness.results.store import PARTIAL, store_verdict, write_text

MOST_NAMED = 5
"""Differences in one error."""


def write_bundle(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the bundle of result directories, or of those right below a directory, and return its path.

    The results of faults beside a comparison on which its report rests are taken in too. The verdict is worked out anew,
    as `fanbench report` does.

    Raises:
        UsageError: a directory is none, is damaged or is not finished, or two have one name.
        FanbenchError: what a directory holds contradicts itself, or the bundle cannot be written.
    """
    with TemporaryDirectory(prefix="fanbench-bundle-") as scratch:
        members = _members(_with_evidence(result_folders(*folders)), Path(scratch))
    path = out or folders[0].resolve().with_name(folders[0].resolve().name + SUFFIX)
    try:
        path.write_bytes(pack(members))
    except OSError as error:
        raise FanbenchError(f"{path}: {error.strerror}; give another file with --out") from error
    return path


def _with_evidence(folders: Sequence[Path]) -> list[Path]:
    """The directories, and those beside them whose faults their reports tell."""
    found = {result_name(folder): folder for folder in folders}
    if len(found) < len(folders):
        raise UsageError("two of the result directories have one name; rename one of them")
    beside: dict[Path, list[Result]] = {}
    for folder in folders:
        if folder.name.endswith(PARTIAL):
            raise UsageError(
                f"{folder} still runs, or its fanbench was killed; give the directories by name, without it"
            )
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
    """Every file of the bundle. The figures are derived from what the bundle holds, and from nothing beside it.

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
        raise FanbenchError(f"not bundled, since the files contradict each other: {said}{more}; measure again")


def _logs(folder: Path) -> dict[str, str]:
    """The hash of each log of a result directory."""
    return {
        str(path.relative_to(folder / "logs")): sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "logs").rglob("*"))
        if path.is_file()
    }
