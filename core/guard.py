"""Ends the process groups of a fanbench that was killed: run as `python core/guard.py` with a pipe as its stdin.

The parent writes `+PGID` when it starts a group and `-PGID` when the group is gone. When the pipe closes, because
the parent exited or was killed with SIGKILL, the groups still listed get SIGTERM, then SIGKILL. The guard lives in
a session of its own, so neither Ctrl-C nor the end of a terminal reaches it. It imports nothing of ours: it must
start in a few milliseconds.
"""

import os
import signal
import sys
import time

TERM_GRACE_S = 1.5


def _alive(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_all(groups: set[int], sig: signal.Signals) -> None:
    for pgid in groups:
        try:
            os.killpg(pgid, sig)
        except (ProcessLookupError, PermissionError):
            continue


def main() -> None:
    """Follow stdin to its end, then end what is left."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        pgid = int(line[1:])
        groups.add(pgid) if line[0] == "+" else groups.discard(pgid)
    _signal_all(groups, signal.SIGCONT)  # a stopped process takes no SIGTERM
    _signal_all(groups, signal.SIGTERM)
    deadline = time.monotonic() + TERM_GRACE_S
    while any(_alive(pgid) for pgid in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_all({pgid for pgid in groups if _alive(pgid)}, signal.SIGKILL)


if __name__ == "__main__":
    main()
