"""Directories outside the checkout, with the user's own folders that have the names of our packages."""

from pathlib import Path

PACKAGES = ("core", "brokers", "server", "generator", "load", "harness")
WRONG = "a decoy was imported: the current directory is on the path"


def put_decoys(folder: Path, *, empty: bool = False) -> Path:
    """Put such folders into `folder`, and return it: packages that cannot be imported, or `empty` ones."""
    for name in PACKAGES:
        decoy = folder / name
        decoy.mkdir(parents=True)
        if not empty:
            (decoy / "__init__.py").write_text(f"raise ImportError({WRONG!r})\n", encoding="utf-8")
    return folder
