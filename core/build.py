"""Which fanbench this is: the installed version, and the commit of its source."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

UNKNOWN = "unknown"
_VARIABLE = "FANBENCH_COMMIT"
"""Set where an image is built, which has no repository."""


@cache
def installed_version() -> str:
    """As the package's metadata have it."""
    try:
        return version("fanbench")
    except PackageNotFoundError:
        return UNKNOWN


@cache
def source_commit() -> str:
    """The commit from FANBENCH_COMMIT, or of the running checkout; `unknown` for a wheel."""
    return os.environ.get(_VARIABLE) or checked_out(Path(__file__).parents[1]) or UNKNOWN


def checked_out(folder: Path) -> str:
    """The commit of a checkout, without running git; empty if it is none, or keeps its references another way."""
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
