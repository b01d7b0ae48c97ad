"""Ends the process groups of a fanbench that was killed: run as `python core/guard.py` with a pipe as its stdin.

The parent writes `+PGID` when it starts a group and `-PGID` when the group is gone. When the pipe closes, because
the parent exited or was killed with SIGKILL, the groups still listed get SIGTERM, then SIGKILL. A container is not a child
of the parent. It has a command that removes it: `+WORD<tab>WORD...`, and the same with `-` when it is gone; the guard
runs the remaining commands last. The guard has its own session, so neither Ctrl-C nor a closed terminal reaches it. It
imports nothing from fanbench, because it must start in a few milliseconds.
"""

import os
import signal
import sys
import time

TERM_GRACE_S = 1.5
COMMAND_TIMEOUT_S = 20.0
AGAIN_S = 1.0


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


def _run_all(commands: list[list[str]]) -> None:
    import subprocess  # importing it takes as long as starting everything else

    running = []
    for command in commands:
        try:
            running.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
        except OSError:
            continue  # nobody is left to read it
    for process in running:
        try:
            process.wait(COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> None:
    """Read stdin to its end, then end what is left."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    groups: set[int] = set()
    commands: dict[str, list[str]] = {}
    for line in sys.stdin:
        sign, entry = line[0], line[1:].rstrip("\n")
        if not entry.isdecimal():
            if sign == "+":
                commands[entry] = entry.split("\t")
            else:
                commands.pop(entry, None)
            continue
        pgid = int(entry)
        groups.add(pgid) if sign == "+" else groups.discard(pgid)
    _signal_all(groups, signal.SIGCONT)  # a stopped process does not receive SIGTERM
    _signal_all(groups, signal.SIGTERM)
    deadline = time.monotonic() + TERM_GRACE_S
    while any(_alive(pgid) for pgid in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_all({pgid for pgid in groups if _alive(pgid)}, signal.SIGKILL)
    if commands:
        _run_all(list(commands.values()))
        time.sleep(AGAIN_S)  # a container that was being created when its creator was killed exists only now
        _run_all(list(commands.values()))


if __name__ == "__main__":
    main()
