"""The errors that a person sees: each names the value, the reason and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FanbenchError(Exception):
    """A failure reported in one line; the command ends with exit code 1."""

    transient: bool = False
    """Whether a retry may succeed without a change. Only causes that are known to be temporary are retried."""


class TransientError(FanbenchError):
    """Something took too long, or a process ended: a retry may succeed."""

    transient = True


class UsageError(FanbenchError):
    """A value that cannot be used as given; the command ends with exit code 2."""


REFUSED = 2
"""Exit code of a replica, a generator or a load if a restart would fail in the same way."""


def exit_code(error: FanbenchError) -> int:
    """The exit code of a replica, a generator or a load: it tells the caller whether to retry."""
    return 1 if error.transient else REFUSED


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` was probably meant to be, as ` did you mean 'x'?`, or the list of known words."""
    words = sorted(known)
    match = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(words)}"
