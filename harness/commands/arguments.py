"""Keeps passwords out of `ps`, which shows every user what a process was started with."""

from __future__ import annotations

import json
import os
import sys

_GIVEN = "FANBENCH_ARGUMENTS"


def hide_passwords() -> None:
    """If an argument holds a password, begin anew with `***` in its place; the whole one is in `sys.argv` then.

    It comes through the environment, which only the same user may read, and is taken out there: no child gets it.
    """
    given = os.environ.pop(_GIVEN, None)
    if given is not None:
        sys.argv[1:] = json.loads(given)
        return
    if not any("://" in word for word in sys.argv):
        return
    from brokers.endpoint import redact

    hidden = [redact(word) for word in sys.orig_argv]
    if hidden != sys.orig_argv:
        os.environ[_GIVEN] = json.dumps(sys.argv[1:])
        os.execv(sys.executable, hidden)  # noqa: S606 - the same command, the same process
