"""`fanbench bundle`, `verify` and `site`: results that a stranger can check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core.plain_text import plain
from harness.publish.site import write_site
from harness.publish.trust import ON_TRUST
from harness.publish.verify import Verification, this_fanbench, verify
from harness.publish.write_bundle import write_bundle


def bundle_command(folders: Sequence[Path], out: Path | None) -> int:
    """Write the bundle and print its path. Exit code 0."""
    print(plain(str(write_bundle(folders, out))))
    return 0


def verify_command(file: Path, json_answer: bool) -> int:
    """Check a bundle and print the result. The exit code is 0 if every figure follows from the bundle, otherwise 1."""
    found = verify(file)
    if json_answer:
        print(json.dumps(_as_json(file, found)))
    else:
        print(plain("\n".join(_in_words(file, found))))
    return 1 if found.differences else 0


def _as_json(file: Path, found: Verification) -> dict[str, object]:
    return {
        "file": str(file),
        "sha256": found.sha256,
        "verified": not found.differences,
        "results": [
            {
                "name": one.name,
                "runs": len(one.stored.comparison.runs),
                "derived_by": one.figures.derived_by,
                "command": one.figures.command,
            }
            for one in found.results
        ],
        "differences": [asdict(one) for one in found.differences],
        "on_trust": [asdict(one) for one in ON_TRUST],
    }


def _in_words(file: Path, found: Verification) -> list[str]:
    here = this_fanbench()
    lines = [f"{file}", f"SHA-256 {found.sha256}"]
    for result in found.results:
        figures = result.figures
        lines.append(
            f"{result.name}: {len(result.stored.comparison.runs)} runs from {figures.started_utc}; repeat them with: {figures.command}"
        )
    other = next((one.figures.derived_by for one in found.results if one.figures.derived_by != here), None)
    if other is not None:
        lines.append(f"bundled by {_which(other)}, derived again by {_which(here)}")
    lines.append("")
    lines += [f"differs: {one}" for one in found.differences]
    if not found.differences:
        lines.append("Verified: the verdict and every figure of the report follow from the histograms and rows.")
    else:
        count = len(found.differences)
        lines.append(
            f"Not verified: {count} value{'s differ' if count > 1 else ' differs'} from the bundle's own measurements."
        )
        if other is not None:
            lines.append(
                f"Another version may word or compute a figure differently: also verify it with {_which(other)}."
            )
    lines += ["", "Taken on trust, because nothing else in the bundle can confirm it:"]
    return [*lines, *(f"  {one.file}: {', '.join(one.fields)} ({one.why})" for one in ON_TRUST)]


def _which(fanbench: dict[str, str]) -> str:
    return f"fanbench {fanbench.get('version', '?')} (commit {fanbench.get('commit', 'unknown')[:12]})"


def site_command(paths: Sequence[Path], out: Path) -> int:
    """Write the site. The exit code is 1 if a bundle was left out."""
    written = write_site(paths, out)
    for one in written.left_out:
        print(plain(f"left out: {one.file}: {one.why}"))
    print(plain(f"{written.index}: {written.results} results, {written.contenders} contenders"))
    return 1 if written.left_out else 0
