"""Records the commit in a wheel or an sdist: hatchling runs this while it builds one (pyproject.toml)."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[misc,type-arg]  # hatchling has hooks by inheritance
    """Adds core/commit.txt to the build. A tree from an sdist already has that file."""

    _written: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the files are collected; an installation in place reads the checkout itself."""
        root = Path(self.root)
        build = _module(root / "core" / "build.py")
        if version == "editable" or (root / build.RECORDED).exists() or not (commit := build.commit_of(root)):
            return
        with tempfile.NamedTemporaryFile("w", encoding="ascii", prefix="fanbench-commit-", delete=False) as file:
            file.write(f"{commit}\n")
        self._written = Path(file.name)
        build_data["force_include"][file.name] = build.RECORDED

    def finalize(self, *_built: object) -> None:
        """Called when it is built."""
        if self._written is not None:
            self._written.unlink(missing_ok=True)


def _module(path: Path) -> Any:
    """Load a module by its file, because the built tree need not be importable."""
    spec = importlib.util.spec_from_file_location("fanbench_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
