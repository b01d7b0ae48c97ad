"""Which fanbench this is: the installed version, and the commit of its source."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNKNOWN = "unknown"
RECORDED = "core/commit.txt"
"""scripts/build_hook.py writes it into a wheel and an sdist, which have no repository."""
_VARIABLE = "FANBENCH_COMMIT"
"""Set when an image is built, because it has no repository."""


@cache
def installed_version() -> str:
    """The version in the package's metadata."""
    try:
        return version("fanbench")
    except PackageNotFoundError:
        return UNKNOWN


@cache
def source_commit() -> str:
    """The commit from FANBENCH_COMMIT, of the running checkout, or recorded in the wheel or sdist; otherwise `unknown`."""
    return commit_of(Path(__file__).parents[1]) or UNKNOWN


def commit_of(folder: Path) -> str:
    """The commit of a tree that contains the package `core`; empty if it is unknown."""
    return os.environ.get(_VARIABLE) or checked_out(folder) or _recorded(folder / RECORDED)


def _recorded(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def checked_out(folder: Path) -> str:
    """The commit of a checkout, without running git.

    Empty if it is not a checkout, or stores its references differently.
    """
    git = folder / ".git"
    try:
        if git.is_file():  # a worktree
            git = folder / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        reference = head.removeprefix("ref: ")
        if reference == head:
            return head
        shared = git / "commondir"
        store = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
        if (store / reference).is_file():
            return (store / reference).read_text(encoding="utf-8").strip()
        packed = (store / "packed-refs").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {reference}")), "")
