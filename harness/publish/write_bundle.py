"""Writes a bundle of result directories: one file with all that a stranger needs to derive their reports again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from core.contracts.bundle import BundleIndex
from core.contracts.codec import encode
from core.errors import FanbenchError, UsageError
from harness.analysis.capacity_answers import in_words
from harness.analysis.fault_evidence import faults_beside
from harness.analysis.fault_outcomes import is_about_faults
from harness.publish.archive import INDEX, REPORT, RESULT_FILES, SUFFIX, pack, result_name
from harness.publish.derive import figures_of
from harness.publish.verify import this_fanbench, verify_members
from harness.results.load import load_capacity, load_results, result_folders
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
    found = _with_evidence(result_folders(*folders))
    members = _members(found)
    with TemporaryDirectory(prefix="fanbench-bundle-") as scratch:
        _, differences = verify_members(members, Path(scratch))
    if differences:
        said = "; ".join(str(one) for one in differences[:MOST_NAMED])
        more = f"; and {len(differences) - MOST_NAMED} more" if len(differences) > MOST_NAMED else ""
        raise FanbenchError(f"not bundled, since the files contradict each other: {said}{more}; measure again")
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
    for folder in folders:
        if folder.name.endswith(PARTIAL):
            raise UsageError(
                f"{folder} still runs, or its fanbench was killed; give the directories by name, without it"
            )
        comparison = load_results(folder)
        if load_capacity(folder) is not None or is_about_faults(comparison):
            continue
        evidence = faults_beside(folder, comparison)
        used = {cell.result for cell in evidence.cells.values()}
        for name in sorted(used - {folder.resolve().name}):
            found.setdefault(name, folder.resolve().parent / name)
    return [found[name] for name in sorted(found)]


def _members(folders: Sequence[Path]) -> dict[str, bytes]:
    """Every file of the bundle. The figures are derived from what the bundle holds, and from nothing beside it."""
    members: dict[str, bytes] = {}
    with TemporaryDirectory(prefix="fanbench-bundle-") as scratch:
        for folder in folders:
            copy = Path(scratch) / result_name(folder)
            copy.mkdir()
            for file in (*RESULT_FILES, "capacity.json"):
                if file != "capacity.json" or (folder / file).exists():
                    (copy / file).write_bytes(read_file(folder, file).encode())
        for folder in folders:
            _derive(Path(scratch) / result_name(folder), _logs(folder))
        for path in sorted(Path(scratch).glob("*/*")):
            members[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    index = BundleIndex(files={name: sha256(data).hexdigest() for name, data in sorted(members.items())})
    return members | {INDEX: (encode(index, indent=1) + "\n").encode()}


def _derive(folder: Path, logs: Mapping[str, str]) -> None:
    """Put the verdict and report.json into a copy of a result directory."""
    comparison, search = load_results(folder), load_capacity(folder)
    if search is not None:
        comparison = replace(comparison, verdict=(in_words(search),))
    evidence = faults_beside(folder, comparison)
    figures = figures_of(comparison, search, evidence, derived_by=this_fanbench(), logs=logs)
    store_verdict(folder, comparison, figures.verdict)
    write_text(folder / REPORT, encode(figures, indent=1) + "\n")


def _logs(folder: Path) -> dict[str, str]:
    """The hash of each log of a result directory."""
    return {
        str(path.relative_to(folder / "logs")): sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "logs").rglob("*"))
        if path.is_file()
    }
