"""Paths that a person gives, made absolute once, where they enter: command line, environment, a broker's URL.

From there on a path means the same file in every process, whatever directory a child is started in.
"""

from __future__ import annotations

from pathlib import Path


def absolute_path(path: str | Path) -> Path:
    """The path from the root, as seen from the current directory.

    Symbolic links and `..` are kept: `/dev/stdin` and a shell's `<(command)` are links that lead to no file.
    """
    return Path(path).absolute()


def file_to_write(path: str | Path) -> Path:
    """The absolute path of a file that a program will write, perhaps at its very end: so what is wrong is said at once.

    Raises:
        ValueError: its directory does not exist, or it is a directory itself.
    """
    found = absolute_path(path)
    if not found.parent.is_dir():
        raise ValueError("its directory does not exist; create it or give another path")
    if found.is_dir():
        raise ValueError("it is a directory; give the path of a file")
    return found
