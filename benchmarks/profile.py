"""`python -m benchmarks.profile`: the CPU profile of a replica and a Locust worker, by py-spy, in microseconds per delivery.

Shares count samples in which the process ran; the microseconds come from a window without py-spy, which slows the
process. It reads another process's memory, so run it as root or allow ptrace.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.figures import Figure, FigureRow, FigureTable
from benchmarks.locust_process import OURS, LocustProcess
from benchmarks.machine import Cores, stay_on
from benchmarks.report import print_table
from benchmarks.rivals import start_fanbench, start_raw_write
from benchmarks.window import EpollReader, Used, measure, measure_load
from core.errors import FanbenchError
from harness.runner.host import raise_descriptor_limit

CLIENTS, RATE_HZ, SECONDS = 2_000, 20.0, 8.0
SHOWN = 14
SPY_ENDS_S = 40.0
PY_SPY = Path(sysconfig.get_path("scripts")) / "py-spy"


def shares(collapsed: str, lines: bool) -> dict[str, float]:
    """Shares of the samples by innermost function or line, from `outer (file:1);inner (file:2) COUNT`, largest first."""
    counts: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        name, _, place = stack.rpartition(";")[2].partition(" (")
        file, _, number = place.rstrip(")").partition(":")
        counts[f"{name} ({Path(file).name}{f':{number}' if lines else ''})" if file else name] += int(count)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}


def _profiled(pid: int, folder: Path, native: bool, window: Callable[[], Used]) -> list[FigureRow]:
    plain = window()
    out = folder / f"{pid}.collapsed"
    command = [str(PY_SPY), "record", "--pid", str(pid), "--format", "raw", "--rate", "250", "--output", str(out)]
    command += ["--duration", f"{SECONDS - 1:g}"] + ["--native"] * native
    spy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        window()
        words, _ = spy.communicate(timeout=SPY_ENDS_S)
    except subprocess.TimeoutExpired as error:
        raise FanbenchError(f"py-spy did not end within {SPY_ENDS_S:g} s; repeat") from error
    finally:
        spy.kill()
    if spy.returncode or not out.exists():
        raise FanbenchError(f"py-spy: {words[-300:].strip()}; run it as root, or allow ptrace")
    found = list(shares(out.read_text(), lines=not native).items())
    shown = [*found[:SHOWN], ("all else", sum(share for _, share in found[SHOWN:])), ("together", 1.0)]
    return [
        FigureRow(name, {"share %": Figure.of([100 * share]), "us/delivery": Figure.of([plain.us * share])})
        for name, share in shown
    ]


def profile_replica(folder: Path, cores: Cores) -> FigureTable:
    """Profile a replica with its defaults, read by the benchmark's own reader."""
    with start_fanbench(folder, cores) as server, EpollReader(server.port, CLIENTS, cores.others) as reader:
        rows = _profiled(server.pid, folder, True, lambda: measure(server.pid, server, reader, RATE_HZ, SECONDS))
    return FigureTable("profile-replica", f"replica: {CLIENTS:,} clients x {RATE_HZ:g} events/s, by function", rows)


def profile_locust(folder: Path, cores: Cores) -> FigureTable:
    """Profile a Locust worker with load/sse.py at the floor's server; py-spy cannot unwind greenlets' native stacks."""
    with ExitStack() as stack:
        server = stack.enter_context(start_raw_write(folder, Cores(cores.others, cores.measured)))
        load = stack.enter_context(LocustProcess(OURS, server.port, CLIENTS, folder, cores.measured))
        rows = _profiled(
            load.pid, folder, False, lambda: measure_load(load.pid, server, CLIENTS, load.delivered, RATE_HZ, SECONDS)
        )
    return FigureTable("profile-locust", f"Locust: {CLIENTS:,} clients x {RATE_HZ:g} events/s, by line", rows)


PARTS = {"replica": profile_replica, "locust": profile_locust}


def main() -> int:
    """Print both tables; exit code 1 with the reason if py-spy has no permission."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: both")
    given = parser.parse_args()
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}'; parts: {', '.join(PARTS)}")
    console = Console(width=max(Console().width, 120))
    raise_descriptor_limit()
    cores = Cores.choose()
    stay_on(cores.others)
    try:
        with tempfile.TemporaryDirectory(prefix="fanbench-profile-") as folder:
            for name in given.parts or PARTS:
                home = Path(folder) / name
                home.mkdir()
                print_table(PARTS[name](home, cores), console, judged=False)
    except FanbenchError as error:
        print(f"profile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
