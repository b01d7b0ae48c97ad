"""The data files that the programs read: scenarios, the page, configurations, the reference results, servers of anti-patterns, dialects."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

FolderName = Literal["scenarios", "ui", "deploy", "reference", "per-client-server", "hubs", "dialects"]

_IN_THE_CHECKOUT = {
    "reference": Path("results", "reference"),
    "per-client-server": Path("examples", "per-client-server"),
    "hubs": Path("examples", "hubs"),
}


def resource_folder(name: FolderName) -> Path:
    """Where a folder of such files lies: inside the package `core` in a wheel, at the top of a checkout.

    The wheel's copies are put there by pyproject.toml. Wheels are always unpacked, so the folder is a real one.
    """
    package = Path(str(files("core")))
    packaged = package / "resources_of_the_wheel" / name
    return packaged if packaged.is_dir() else package.parent / _IN_THE_CHECKOUT.get(name, Path(name))
