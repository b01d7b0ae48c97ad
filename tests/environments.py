"""A Python environment like this one without some packages, made of links to all others."""

import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path


def without(folder: Path, *names: str) -> Path:
    """Make the environment in `folder` and return its Python; `names` are package names as pip knows them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    here, there = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    left_out = {file.parts[0] for name in names for file in distribution(name).files or ()}
    for entry in here.iterdir():
        if entry.name not in left_out:
            (there / entry.name).symlink_to(entry)
    for program in Path(sys.executable).parent.iterdir():  # broker programs from wheels are next to Python
        if not (folder / "bin" / program.name).exists():
            (folder / "bin" / program.name).symlink_to(program)
    return folder / "bin" / "python"
