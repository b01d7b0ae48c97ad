"""Writes the suite's files: replaced in one step, through links, regular files only."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from core.contracts.codec import Document, encode
from core.errors import FanbenchError
from core.paths import file_to_write

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def regular_file(text: str | Path) -> Path:
    """The absolute path of a file that documents are to be written to.

    Raises:
        ValueError: its directory does not exist or is not writable, or it is not a regular file.
    """
    if str(text) == "-":
        raise ValueError("standard output has the summary; give the path of a file, or ./- for one of that name")
    try:
        path = file_to_write(text)
        target = path.resolve()  # writes to a link's target
        odd = target.exists() and not target.is_file()
    except (OSError, RuntimeError) as error:  # the latter for a cycle of links
        raise ValueError(f"{getattr(error, 'strerror', None) or error}; give another path") from None
    if odd:
        raise ValueError("it is not a regular file; give the path of a file, new or old")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise ValueError("its directory may not be written to; give another path")
    return path


def write_document(document: Document, path: Path) -> None:
    """Write the document to that path atomically.

    Raises:
        FanbenchError: it cannot be written; the old one is still there, and no part of the new one.
    """
    try:
        target = regular_file(path).resolve()
    except ValueError as error:
        raise FanbenchError(f"cannot write {path}: {error}") from error
    part = target.with_name(f".fanbench-{os.getpid()}.part")  # the target's name may already have the maximum length
    try:
        part.write_text(encode(document), encoding="utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        step = "free space, or choose another path" if error.errno in _FULL else "choose another path"
        raise FanbenchError(f"cannot write {path}: {error.strerror}; {step}") from error
