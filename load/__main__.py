"""`python -m load WORD…`, installed as `fanbench-locust WORD…`: Locust with our suite, wherever fanbench is installed.

Without `-f` it runs load/sse.py, or load/ws.py after the word `ws`; all other arguments are Locust's. It also starts in
two thirds of Locust's time: gevent announces each of the 25 modules that it patches, and each time
metadata.entry_points searches all installed packages, although they do not change (docs/decisions/0006).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

metadata.entry_points = cache(metadata.entry_points)  # type: ignore[assignment]

from locust.main import main as locust  # noqa: E402 - patches as it is imported

# Locust adds the current directory and the locustfile's directory to the path, where anything may have the name of one
# of our modules or a library's: import what the suite needs first.
import load.users  # noqa: E402, F401

LOCUSTFILES = ("sse", "ws")


def with_locustfile(words: Sequence[str], env: Mapping[str, str] = os.environ) -> list[str]:
    """The arguments for Locust, with one of fanbench's locustfiles unless another is named."""
    if words[:1] and words[0] in LOCUSTFILES:
        name, words = words[0], words[1:]
    elif "LOCUST_LOCUSTFILE" in env or any(_names_a_locustfile(word) for word in words):
        return list(words)
    else:
        name = LOCUSTFILES[0]
    return ["-f", str(Path(__file__).with_name(f"{name}.py")), *words]


def _names_a_locustfile(word: str) -> bool:
    return word.startswith("--locustfile") or (word.startswith("-f") and not word.startswith("--"))


def main() -> None:
    """Run Locust."""
    sys.argv[1:] = with_locustfile(sys.argv[1:])
    locust()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
