"""A static site over many bundles: an index with filters, the report of each result, a page for each contender, the bundles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from core.errors import FanbenchError
from harness.publish.contender_pages import contender_page
from harness.publish.site_results import LeftOut, SiteResult, bundle_files, read_bundles, slug
from harness.report.html import SCRIPT, environment, read_script
from harness.report.page import render

TEMPLATES = Path(__file__).with_name("templates")
FILTER_SCRIPT = "filters.js"


@dataclass(frozen=True, slots=True)
class WrittenSite:
    """The site's first page, and what the site contains."""

    index: Path
    results: int
    contenders: int
    left_out: tuple[LeftOut, ...]


def write_site(paths: Sequence[Path], out: Path) -> WrittenSite:
    """Write a site into `out` for the bundles in `paths`, which are files or directories. The same bundles give the same bytes.

    Raises:
        UsageError: a directory contains no bundle.
        FanbenchError: the site can show none of the bundles, or cannot be written.
    """
    files = bundle_files(paths)
    with TemporaryDirectory(prefix="fanbench-site-") as scratch:
        found = read_bundles(files, Path(scratch))
        if not found.results:
            raise FanbenchError("; ".join(f"{one.file}: {one.why}" for one in found.left_out))
        pages = _pages(found.results, found.left_out)
        try:
            for name, content in pages.items():
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(content)
        except OSError as error:
            raise FanbenchError(f"{error.filename}: {error.strerror}; give another directory with --out") from error
    return WrittenSite(out / "index.html", len(found.results), len(_addresses(found.results)), found.left_out)


def _pages(results: Sequence[SiteResult], left_out: Sequence[LeftOut]) -> dict[str, bytes]:
    """Return every file of the site by its path."""
    addresses = _addresses(results)
    templates = environment(TEMPLATES)
    index = templates.get_template("index.html.j2").render(
        title="Measured with fanbench",
        results=[
            (result, result.answer, [(name, addresses[name]) for name in result.contenders]) for result in results
        ],
        choices=_choices(results),
        contenders=addresses,
        left_out=left_out,
        script=read_script(FILTER_SCRIPT, folder=TEMPLATES),
    )
    files = {"index.html": index.encode()}
    for name, address in addresses.items():
        page = contender_page(name, results)
        text = templates.get_template("contender.html.j2").render(
            title=f"{name}, measured with fanbench", page=page, script=read_script(SCRIPT)
        )
        files[address] = text.encode()
    for result in results:
        links = {"All results": "../../index.html", f"The bundle: {result.bundle.file}": f"../../{result.bundle.file}"}
        files[result.page] = render([result.report()], titles=[result.title], links=links).encode()
        files[result.bundle.file] = result.bundle.data
    return files


def _addresses(results: Sequence[SiteResult]) -> dict[str, str]:
    """Return the path of each contender's page, from the top of the site."""
    found: dict[str, str] = {}
    for name in sorted({name for result in results for name in result.contenders}):
        stem, number = slug(name), 1
        while (address := f"contenders/{stem if number == 1 else f'{stem}-{number}'}.html") in found.values():
            number += 1
        found[name] = address
    return found


def _choices(results: Sequence[SiteResult]) -> dict[str, list[str]]:
    """Return the choices of each filter."""
    return {
        "contender": sorted({name for result in results for name in result.contenders}),
        "machine": sorted({result.machine for result in results}),
        "kind": sorted({result.kind for result in results}),
        "fanbench": sorted({result.version for result in results}),
    }
