"""A result directory's histograms as `.hgrm` files, which HDR plotters read: percentile distributions in milliseconds."""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import FanbenchError, UsageError
from core.histogram import Histogram
from harness.results.load import load_results
from harness.results.run_record import HOPS, LATENCY
from harness.results.store import write_text

_NOT_FILE_NAME = re.compile(r"[^A-Za-z0-9._#-]+")


def write_hgrm(folder: Path, out: Path | None = None) -> list[Path]:
    """Write `CONTENDER-HOP.hgrm` for each contender and hop, merged from all valid runs, into `out` or `folder`/hgrm.

    Extra runs with faults, and transports other than SSE, have separate files with names that say so.

    Raises:
        UsageError: the folder is not a result directory, or has no valid run.
        FanbenchError: a file cannot be written.
    """
    comparison = load_results(folder)
    merged: dict[str, Histogram] = {}
    for run in comparison.runs:
        if not run.valid:
            continue
        words = [
            run.contender,
            *([] if run.transport == "sse" else [run.transport]),
            *(f.kind for f in run.scenario.faults),
        ]
        for hop in (LATENCY, *HOPS):
            if hop in run.histograms:
                name = _NOT_FILE_NAME.sub("-", "-".join([*words, hop]))
                merged.setdefault(name, Histogram()).merge(run.histograms[hop])
    if not merged:
        raise UsageError(f"{folder}: no run is valid, so there is nothing to export; measure again")
    into = out or folder / "hgrm"
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, histogram in merged.items():
            write_text(into / f"{name}.hgrm", histogram.percentile_distribution())
    except OSError as error:
        raise FanbenchError(f"{error.filename}: {error.strerror}; give another directory with --out") from error
    return [into / f"{name}.hgrm" for name in merged]
