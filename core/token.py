"""A replica's bearer token: which text is valid, and how to read it from a file."""

from __future__ import annotations

from pathlib import Path


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
        first = path.read_text(encoding="utf-8").split("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"token_file={path}: {why}; give a file whose first line is the token") from None
    if not first:
        raise ValueError(f"token_file={path}: its first line is empty; put the token there")
    return first
