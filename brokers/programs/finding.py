"""Finds executables and asks them for their version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from core.errors import FanbenchError
from core.resources import resource_folder

DEPLOY = resource_folder("deploy")
"""Configuration files, the same that docker compose uses."""
_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin", "/opt/homebrew/bin", "/usr/local/bin")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


def on_path(name: str) -> Path | None:
    """The executable next to this Python, on the PATH, or where daemons live (a user's PATH often lacks sbin)."""
    places = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep), *_SYSTEM_PATHS]
    found = shutil.which(name, path=os.pathsep.join(places))
    return Path(found) if found else None


@cache
def version_of(executable: Path, *arguments: str) -> str:
    """The first version number that the program prints; empty if it prints none."""
    try:
        answer = subprocess.run(
            [executable, *arguments], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return first_version(answer.stdout + answer.stderr)


def first_version(text: str) -> str:
    """The first version number in the text; empty if there is none."""
    match = _VERSION.search(text)
    return match[0] if match else ""


def require(name: str, found: Path | None, install_hint: str) -> Path:
    """The executable.

    Raises:
        FanbenchError: it was not found.
    """
    if found is None:
        raise FanbenchError(f"{name} is not installed here; {install_hint}")
    return found
