"""Part (e): runs benchmarks/micro under pytest-benchmark in a separate process, and reads its results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, FigureRow, FigureTable
from benchmarks.machine import Cores, on_core
from core.errors import FanbenchError

ROOT = Path(__file__).resolve().parent.parent


def microscope(seconds: float, folder: Path, cores: Cores, say: Callable[[str], None]) -> FigureTable:
    """The median of each micro-benchmark's rounds, `seconds` long each."""
    say("micro-benchmarks")
    found = folder / "micro.json"
    command = [sys.executable, "-m", "pytest", "benchmarks/micro", "--benchmark-only", "--benchmark-quiet", "-q"]
    command += [f"--benchmark-json={found}", f"--benchmark-max-time={seconds}", "--benchmark-disable-gc"]
    # pytest-benchmark measures nothing if it believes that pytest-xdist runs it, as in our own tests.
    command += ["-p", "no:xdist"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with on_core(cores.measured):
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FanbenchError(f"micro-benchmarks failed: {(done.stdout + done.stderr)[-600:]}")
    rows = [_row(one) for one in json.loads(found.read_text())["benchmarks"]]
    return FigureTable("micro", "(e) micro-benchmarks", rows)


def _row(found: dict[str, object]) -> FigureRow:
    name = str(found["name"]).removeprefix("test_").replace("_", " ")
    stats = found["stats"]
    assert isinstance(stats, dict)
    info = found["extra_info"]
    assert isinstance(info, dict)
    each_ns = 1e9 / info.get("times", 1)
    figures = {"ns each": Figure.of([stats["median"] * each_ns]), "at least": Figure.of([stats["min"] * each_ns])}
    return FigureRow(name, figures)
