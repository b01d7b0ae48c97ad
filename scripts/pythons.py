"""Runs the fast tests under the lowest and the highest Python of this machine that pyproject.toml allows.

`python scripts/pythons.py [OPTION OF PYTEST…]`. Each gets a virtual environment with what requirements.lock pins, which is
removed again. Exit code 1 if tests failed under one of them, 2 if there is no such Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
UNIT = ("-n", "2", "--dist", "loadfile", "-m", "unit", "--hypothesis-profile", "quick")
_ASK = "import platform; print(platform.python_version() if platform.python_implementation() == 'CPython' else '')"
_MANAGED = (
    "~/.pyenv/versions",
    "~/.local/share/uv/python",
    "~/.local/share/mise/installs/python",
    "~/.asdf/installs/python",
)


def programs() -> Iterator[Path]:
    """Candidates: on the PATH, in the system's folder, and where the usual version managers put them."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]
    managed = [*_MANAGED, os.path.join(os.environ.get("PYENV_ROOT", "~/.pyenv"), "versions")]  # noqa: PTH118
    folders += [str(folder) for home in managed for folder in sorted(Path(home).expanduser().glob("*/bin"))]
    for folder in folders:
        yield from sorted(Path(folder).glob("python3.[0-9]*[0-9]"))
        yield from Path(folder).glob("python3")


def found(candidates: Iterator[Path], allowed: SpecifierSet) -> dict[Version, Path]:
    """The first program of each version that is allowed."""
    pythons: dict[Version, Path] = {}
    for program in candidates:
        try:
            asked = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, timeout=20, check=True)
            version = Version(asked.stdout.strip())
        except (OSError, subprocess.SubprocessError, InvalidVersion):  # a shim without its version, or no CPython
            continue
        if version in allowed:
            pythons.setdefault(version, program)
    return pythons


def ends(pythons: Mapping[Version, Path]) -> list[tuple[Version, Path]]:
    """The lowest and the highest, which may be the same."""
    return [(version, pythons[version]) for version in sorted({min(pythons), max(pythons)})]


def run_tests(python: Path, options: Sequence[str]) -> bool:
    """Whether the fast tests pass under it."""
    uv = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory(prefix="fanbench-python-") as folder:
        own = Path(folder, "bin", "python")
        install = [uv, "pip", "install", "-q", "--python", own]
        for command in (
            [uv, "venv", "-q", "--python", python, folder],
            [*install, "--compile-bytecode", "-r", "requirements.lock"],
            [*install, "--no-deps", "-e", "."],
        ):
            subprocess.run(command, cwd=ROOT, check=True)
        tests = [own, "-m", "pytest", *UNIT, *options]
        return subprocess.run(tests, cwd=ROOT, check=False).returncode == 0


def main(options: Sequence[str]) -> int:
    """Run the tests under both, even if they fail under the first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = found(programs(), SpecifierSet(project["requires-python"]))
    if not pythons:
        print(f"pythons: no Python {project['requires-python']} found here; install one", file=sys.stderr)
        return 2
    failed = []
    for version, python in ends(pythons):
        print(f"pythons: Python {version} ({python})", flush=True)
        if not run_tests(python, options):
            failed.append(str(version))
    if failed:
        print(f"pythons: tests fail under Python {' and '.join(failed)}, see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
