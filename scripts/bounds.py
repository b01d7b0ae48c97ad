"""Compares the bounds of pyproject.toml with the versions that were resolved with them: `python scripts/bounds.py LOWEST.txt`.

A bound below the versions that can be installed together was never tested. It prints one line for each fault; exit code
1.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def direct_dependencies() -> Iterator[Requirement]:
    """The requirements of pyproject.toml, including extras, without the test tools."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for words in (project["dependencies"], *project["optional-dependencies"].values()):
        yield from (need for word in words if (need := Requirement(word)).name != project["name"])


def lower_bound(need: Requirement) -> Version | None:
    """The lowest version that it allows, if it names one."""
    return next((Version(part.version) for part in need.specifier if part.operator in (">=", "==")), None)


def pins(text: str) -> dict[str, list[Version]]:
    """The versions of each package in a requirements file; several if they depend on Python's version."""
    found: dict[str, list[Version]] = {}
    for name, version in _PIN.findall(text):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def faults(text: str) -> list[str]:
    """What is wrong with the bounds, if `text` has the lowest versions that can be installed together."""
    said, lowest = [], pins(text)
    for need in direct_dependencies():
        bound, (installed, *_) = lower_bound(need), lowest[canonicalize_name(need.name)]
        if bound is None:
            said.append(f"{need.name}: no lower bound; write >={installed} into pyproject.toml")
        elif bound != installed:
            said.append(
                f"{need.name}>={bound}: others need {installed} at least; write >={installed} into pyproject.toml"
            )
    return said


if __name__ == "__main__":
    found = faults(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    sys.exit(1 if found else 0)
