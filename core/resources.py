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
    """The folder of such files: inside the package `core` in a wheel, at the top of a checkout.

    pyproject.toml puts the wheel's copies there. Wheels are always unpacked, so it is a real folder.
    """
    package = Path(str(files("core")))
    packaged = package / "resources_of_the_wheel" / name
    return packaged if packaged.is_dir() else package.parent / _IN_THE_CHECKOUT.get(name, Path(name))
