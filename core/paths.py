"""Makes the user's paths absolute at the entry point: command line, environment, a broker's URL.

After that, a path means the same file in every process, whatever its current directory.
"""

from __future__ import annotations

from pathlib import Path


def absolute_path(path: str | Path) -> Path:
    """The absolute path, relative to the current directory.

    Symbolic links and `..` stay: `/dev/stdin` and a shell's `<(command)` are links to no file.
    """
    return Path(path).absolute()


def file_to_write(path: str | Path) -> Path:
    """The absolute path of a file that a program will write, checked now so that errors show at once.

    Raises:
        ValueError: its directory does not exist, or it is a directory itself.
    """
    found = absolute_path(path)
    if not found.parent.is_dir():
        raise ValueError("its directory does not exist; create it or give another path")
    if found.is_dir():
        raise ValueError("it is a directory; give the path of a file")
    return found


def first_line(path: str | Path) -> str:
    """The first line of a text file that holds a secret, without its line end and without a byte-order mark.

    Raises:
        OSError: it cannot be read. ValueError: it is not UTF-8, or that line is empty.
    """
    try:
        first = Path(path).read_text(encoding="utf-8-sig").split("\n")[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    if not first:
        raise ValueError("its first line is empty")
    return first


def read_small_text(path: Path, most_bytes: int) -> str:
    """Read a file that people write by hand.

    Raises:
        OSError: it cannot be read. ValueError: it is larger, or not UTF-8.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"it has over {most_bytes} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
