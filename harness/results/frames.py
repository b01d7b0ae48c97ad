"""Stored results as pandas frames, for notebooks and your own questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.results.load import load_results


def summary_frame(*folders: Path) -> pd.DataFrame:
    """summary.csv of each folder as one frame, one row per run, with the folder's name as the column `result`.

    Raises:
        UsageError: a folder is not a result directory.
    """
    return _frame("summary.csv", folders)


def timeline_frame(*folders: Path) -> pd.DataFrame:
    """timeline.csv of each folder as one frame, one row per run and second, with the column `result`.

    Raises:
        UsageError: a folder is not a result directory.
    """
    return _frame("timeline.csv", folders)


def _frame(name: str, folders: Sequence[Path]) -> pd.DataFrame:
    frames = []
    for folder in folders:
        numbers = range(1, len(load_results(folder).runs) + 1)
        frame = pd.read_csv(folder / name)
        frame = frame[frame["run"].isin(numbers)]
        frame.insert(0, "result", folder.resolve().name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
