"""Stored results as pandas frames, for notebooks and your own questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.results.load import load_results


def summary_frame(*folders: Path) -> pd.DataFrame:
    """summary.csv of each folder as one frame, one row per run, with the folder's name as the column `result`.

    The column `ranked` marks the runs that are compared: valid, and without an extra fault.

    Raises:
        UsageError: a folder is not a result directory.
    """
    return _frame("summary.csv", folders)


def timeline_frame(*folders: Path) -> pd.DataFrame:
    """timeline.csv of each folder as one frame, one row per run and second, with the columns `result` and `ranked`.

    Raises:
        UsageError: a folder is not a result directory.
    """
    return _frame("timeline.csv", folders)


def _frame(name: str, folders: Sequence[Path]) -> pd.DataFrame:
    frames = []
    for folder in folders:
        comparison = load_results(folder)
        faults = comparison.scenario.faults
        ranked = {n: run.valid and run.scenario.faults == faults for n, run in enumerate(comparison.runs, 1)}
        frame = pd.read_csv(folder / name)
        frame = frame[frame["run"].isin(ranked)].copy()
        frame["ranked"] = frame["run"].map(ranked).astype(bool)
        frame.insert(0, "result", folder.resolve().name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
