"""The verified results of many bundles, as the pages of a site need them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from core.contracts.capacity import Capacity
from core.contracts.codec import DocumentError
from core.errors import UsageError
from core.plain_text import plain
from harness.analysis.fault_evidence import base_name, results_of_faults
from harness.analysis.stored_results import Result
from harness.publish.archive import SUFFIX, unpack
from harness.publish.derive import StoredResult
from harness.publish.verify import VerifiedResult, verify_members
from harness.report.comparison import ContenderRow, table_rows
from harness.report.view import View
from harness.results.run_record import Comparison

COMPARED = ("comparison", "transports")
"""The kinds of results with a row of figures for each contender."""

MOST_NAMED = 3
"""The largest number of reported differences of one bundle."""
_SLUG_LETTERS = 150
"""File systems allow 255 bytes for a file's name, and a suffix is added."""
_BEGAN = re.compile(r"^\d{8}T\d{6}Z-(?=.)")


@dataclass(frozen=True, slots=True)
class SiteBundle:
    """A bundle on a site."""

    stem: str
    """The unique name of its file and its folder on the site."""
    data: bytes
    sha256: str
    derived_by: dict[str, str]

    @property
    def file(self) -> str:
        """The bundle's path from the top of the site."""
        return f"bundles/{self.stem}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class SiteResult:
    """One result of a bundle."""

    bundle: SiteBundle
    name: str
    kind: str
    stored: StoredResult
    beside: tuple[Result, ...]
    """The results of faults in the same bundle."""
    verdict: tuple[str, ...]
    rows: tuple[ContenderRow, ...]
    """The main table of a comparison."""

    @property
    def title(self) -> str:
        """Its name without the start time."""
        return _BEGAN.sub("", self.name)

    @property
    def page(self) -> str:
        """The report's path from the top of the site."""
        return f"results/{self.bundle.stem}/{slug(self.name)}.html"

    @property
    def date(self) -> str:
        """The day of its start, such as `2026-11-25`."""
        return self.comparison.started_utc[:10]

    @property
    def machine(self) -> str:
        """CPU, memory and system of the machine that measured it."""
        host = self.comparison.host
        return ", ".join(host[key] for key in ("cpu", "memory", "system") if key in host) or "unknown machine"

    @property
    def version(self) -> str:
        """The version of the fanbench that measured.

        If an old result does not record it, the version that made the bundle.
        """
        measured = self.comparison.fanbench.get("version")
        return measured or f"{self.bundle.derived_by.get('version', '?')} (bundled)"

    @property
    def contenders(self) -> list[str]:
        """The names of its contenders."""
        return sorted({base_name(run.contender) for run in self.comparison.runs})

    @property
    def answer(self) -> str:
        """The first sentence of its derived verdict."""
        return self.verdict[0] if self.verdict else "No verdict."

    @property
    def comparison(self) -> Comparison:
        """Its runs, and the machine and versions."""
        return self.stored.comparison

    @property
    def search(self) -> Capacity | None:
        """The result of a capacity search; None for other kinds."""
        return self.stored.search

    def report(self) -> View:
        """Make its report with charts."""
        return self.stored.view(self.beside, draw=True)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A bundle that the site does not show, and why."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class SiteResults:
    """The content of a site: its results, the newest first."""

    results: tuple[SiteResult, ...]
    left_out: tuple[LeftOut, ...]


def bundle_files(paths: Sequence[Path]) -> list[Path]:
    """Return the bundles in `paths`: files, and the bundles directly in directories.

    Raises:
        UsageError: a directory contains no bundle.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path} holds no *{SUFFIX}; make one with fanbench bundle, or name another directory")
        found += inside
    return found


def read_bundles(files: Sequence[Path], scratch: Path) -> SiteResults:
    """Unpack bundles into the empty directory `scratch`, and verify them; two equal bundles count once."""
    results: list[SiteResult] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    stems: set[str] = set()
    for number, file in enumerate(files):
        folder = scratch / f"{number}"
        folder.mkdir()
        try:
            members, digest = unpack(file), sha256(file.read_bytes()).hexdigest()
            if digest in seen:
                continue
            verified, differences = verify_members(members, folder)
        except (UsageError, DocumentError) as error:
            left_out.append(LeftOut(file.name, str(error).replace(f"{folder}/", "").replace(str(file), file.name)))
            continue
        if differences:
            said = "; ".join(str(one) for one in differences[:MOST_NAMED])
            left_out.append(
                LeftOut(file.name, f"{len(differences)} values do not follow from its measurements: {said}")
            )
            continue
        seen.add(digest)
        bundle = SiteBundle(_stem(file, stems), file.read_bytes(), digest, verified[0].figures.derived_by)
        beside = tuple(results_of_faults(folder))
        results += [_result(bundle, one, beside) for one in verified]
    results.sort(key=lambda one: (one.comparison.started_utc, one.bundle.stem, one.name), reverse=True)
    return SiteResults(tuple(results), tuple(left_out))


def _result(bundle: SiteBundle, verified: VerifiedResult, beside: tuple[Result, ...]) -> SiteResult:
    stored = verified.stored
    kind = Result(verified.name, stored.comparison, stored.search is not None).kind
    rows = tuple(table_rows(stored.comparison)) if kind in COMPARED else ()
    return SiteResult(bundle, plain(verified.name), kind, stored, beside, verified.figures.verdict, rows)


def _stem(file: Path, taken: set[str]) -> str:
    stem = slug(file.name.removesuffix(SUFFIX))
    number = 1
    while (name := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    taken.add(name)
    return name


def slug(text: str) -> str:
    """The text as a part of an address and the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:_SLUG_LETTERS].strip("-.") or "unnamed"
