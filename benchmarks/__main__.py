"""`python -m benchmarks [--quick] [--json FILE] [PART...]`: run the parts, print their tables and the bars."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.host import raise_descriptor_limit
from benchmarks import adapters, fanout, idle, loads, microscope
from benchmarks.contenders import ALL, Contender
from benchmarks.figures import Table
from benchmarks.machine import Cores, stay_on
from benchmarks.report import print_table, write_json
from core.errors import FanbenchError

Say = Callable[[str], None]
QUICK_CONTENDERS = ("fanbench", "raw write", "asgi queue")


def _contenders(quick: bool) -> list[Contender]:
    return [one for one in ALL if not quick or one.name in QUICK_CONTENDERS]


def run_fanout(folder: Path, cores: Cores, quick: bool, say: Say) -> list[Table]:
    """Part (a)."""
    sizes = fanout.QUICK if quick else fanout.FULL
    return [fanout.fanout(_contenders(quick), size, folder, cores, say) for size in sizes]


def run_loads(folder: Path, cores: Cores, quick: bool, say: Say) -> list[Table]:
    """Part (b)."""
    return [loads.loads(loads.QUICK if quick else loads.FULL, folder, cores, say)]


def run_adapters(folder: Path, cores: Cores, quick: bool, say: Say) -> list[Table]:
    """Part (c)."""
    return adapters.adapters(adapters.QUICK if quick else adapters.FULL, folder, cores, say)


def run_idle(folder: Path, cores: Cores, quick: bool, say: Say) -> list[Table]:
    """Part (d)."""
    return idle.idle(_contenders(quick), idle.QUICK if quick else idle.FULL, folder, cores, say)


def run_micro(folder: Path, cores: Cores, quick: bool, say: Say) -> list[Table]:
    """Part (e)."""
    return [microscope.microscope(0.05 if quick else 1.0, folder, cores, say)]


PARTS: dict[str, Callable[[Path, Cores, bool, Say], list[Table]]] = {
    "fanout": run_fanout,
    "loads": run_loads,
    "adapters": run_adapters,
    "idle": run_idle,
    "micro": run_micro,
}


def main() -> int:
    """Exit code 0 when every bar is met; a quick run shows that it works, not how fast it is, and judges nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few clients, short rounds: to see that it works")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    given = parser.parse_args()
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}'; parts: {', '.join(PARTS)}")
    console = Console(width=max(Console().width, 120))
    raise_descriptor_limit()
    cores = Cores.choose()
    stay_on(cores.others)
    tables: list[Table] = []
    try:
        with tempfile.TemporaryDirectory(prefix="fanbench-benchmarks-") as folder, console.status("starting") as status:
            for name in given.parts or PARTS:
                for table in PARTS[name](Path(folder), cores, given.quick, status.update):
                    tables.append(table)
                    print_table(table, console, judged=not given.quick)
    except FanbenchError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if given.json:
        write_json(tables, given.json, given.quick)
    missed = [bar for table in tables for bar in table.bars if not bar.met]
    return 1 if missed and not given.quick else 0


if __name__ == "__main__":
    sys.exit(main())
