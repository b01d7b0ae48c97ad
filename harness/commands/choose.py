"""`fanbench choose`: needs against stored results, in words or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from core.resources import resource_folder
from harness.analysis.stored_results import load_all
from harness.choose.choose import as_json, choose, in_words
from harness.choose.needs import Needs

REFERENCE = resource_folder("reference")


def choose_command(folders: Sequence[Path], needs: Needs, json_answer: bool) -> int:
    """The command; without folders it reads results/reference. Exit code 0 when something is left, else 1.

    Raises:
        UsageError: a folder holds no results.
    """
    answer = choose(needs, load_all(folders or [REFERENCE]))
    print(json.dumps(as_json(answer)) if json_answer else in_words(answer))
    return 0 if answer.left else 1
