"""Reads a file of a result directory safely: a hostile file must not hang the reader, exhaust memory or control the terminal."""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import UsageError
from core.paths import read_small_text
from core.plain_text import plain

MAX_FILE_BYTES = 16 * 1024 * 1024
"""The limit of one file in a result directory, three times the size of 1,000 runs or of a day in seconds."""
MAX_ROWS = 100_000
"""The limit of rows; a day has 86,400 seconds."""
_ESCAPED_CONTROL = re.compile(
    r"\\u(?:00(?:0[0-8b-f]|1[0-9a-f]|7f|[89][0-9a-f])|202[a-e]|206[6-9])|\\[bf]", re.IGNORECASE
)
"""Control characters as JSON escapes. fanbench's own files have none, see `as_stored`."""


def read_file(folder: Path, name: str) -> str:
    """Read a file from an untrusted directory: it must be a regular file of bounded size without control characters.

    Raises:
        UsageError: it is not.
    """
    path = folder / name
    try:
        text = "" if _odd(path) else read_small_text(path, MAX_FILE_BYTES)
        reason = _odd(path) or _harm(text)
    except (OSError, ValueError) as error:
        text, reason = "", (isinstance(error, OSError) and error.strerror) or str(error)
    if reason:
        raise UsageError(
            f"{folder} is not a result directory: {name}: {reason}; give a directory that fanbench compare wrote"
        )
    return text


def _odd(path: Path) -> str:
    """Refuse special files: a FIFO would block, and a device has no end."""
    return "it is not a regular file" if path.exists() and not path.is_file() else ""


def _harm(text: str) -> str:
    if text.count("\n") > MAX_ROWS:
        return f"it has over {MAX_ROWS} lines"
    if plain(text) != text or _ESCAPED_CONTROL.search(text):
        return "it has control characters, which a terminal would obey"
    return ""
