"""`fanbench choose`: checks stored results against needs, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from core.resources import resource_folder
from harness.analysis.costs import read_prices
from harness.analysis.stored_results import Result, load_all, newest_folders
from harness.choose.choose import choose
from harness.choose.needs import Needs
from harness.choose.wording import as_json, in_words
from harness.runner.host import describe_host

REFERENCE = resource_folder("reference")
OWN = Path("results")
"""The default output directory of `fanbench compare`."""


def choose_command(folders: Sequence[Path], needs: Needs, json_answer: bool, prices: Path | None = None) -> int:
    """Answer from stored results. Without folders it reads results/, or results/reference if results/ has no comparison.

    The exit code is 0 if something is left, otherwise 1.

    Raises:
        UsageError: a folder contains no results, or the prices cannot be read.
    """
    read = read_prices(prices) if prices else None
    here = describe_host()
    answer = choose(needs, load_all(folders) if folders else newest_results(OWN), read, here)
    print(json.dumps(as_json(answer, needs, here)) if json_answer else in_words(answer, needs, here))
    return 0 if answer.left else 1


def newest_results(own: Path) -> list[Result]:
    """The complete results in `own`, if a comparison is among them, otherwise the reference."""
    return load_all(newest_folders(own, REFERENCE))
