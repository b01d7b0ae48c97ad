"""Keeps passwords out of `ps`, which shows every user the arguments of a process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from core.errors import UsageError

_SHOWN = Path("/proc/self/cmdline")


def hide_passwords() -> None:
    """If an argument contains a password, make `ps` show `***` instead; `sys.argv` is unchanged.

    Raises:
        UsageError: `ps` would still show a password.
    """
    if not any("://" in word for word in sys.argv):
        return
    from brokers.endpoint import redact

    secret = [os.fsencode(word) for word in sys.argv[1:] if redact(word) != word]
    if not secret:
        return
    from setproctitle import setproctitle

    # C strings end at NUL, and the title is UTF-8, which cannot represent arguments in other encodings.
    title = os.fsencode(" ".join(["fanbench", *map(redact, sys.argv[1:])]))
    setproctitle(title.decode(errors="replace"))
    # setproctitle finds the arguments through the environment after them in memory, and fails silently.
    if _SHOWN.exists() and any(word in _SHOWN.read_bytes() for word in secret):
        raise UsageError(
            f"cannot hide the password of {redact(os.fsdecode(secret[0]))} from `ps`: setproctitle does not find this "
            "process's arguments, as when its environment is empty; start fanbench with PATH set"
        )
