"""A replica's bearer token: which text is valid, and how to read it from a file."""

from __future__ import annotations

from pathlib import Path

from core.paths import first_line


def check_token(text: str) -> str:
    """Return the token if every client can send it.

    Raises:
        ValueError: it has leading or trailing white space, which HTTP strips, or a character that a header cannot have.
    """
    if text != text.strip() or not text.isprintable():
        raise ValueError("a token is printable text without a blank at either end")
    return text


def read_token_file(path: Path) -> str:
    """The first line of a file.

    Raises:
        ValueError: it cannot be read, or that line is empty.
    """
    try:
        return first_line(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"token_file={path}: {why}; give a file whose first line is the token") from None
