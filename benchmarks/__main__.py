"""`python -m benchmarks [--quick] [--json FILE] [PART...]`: run the parts, print their tables and the bars."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console

from benchmarks import adapters, fanout, fixed, idle, loads, microscope, precision, single, stock, units
from benchmarks.figures import FigureTable
from benchmarks.machine import Cores, on_cores, stay_on
from benchmarks.report import print_table, write_json
from benchmarks.rivals import ALL, Rival
from core.errors import FanbenchError, UsageError
from core.paths import absolute_path
from harness.runner.host import raise_descriptor_limit

Say = Callable[[str], None]
QUICK_CONTENDERS = ("fanbench", "raw write", "asgi queue")


def _contenders(quick: bool) -> list[Rival]:
    return [one for one in ALL if not quick or one.name in QUICK_CONTENDERS]


def run_fanout(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (a)."""
    return fanout.fanout(_contenders(quick), fanout.QUICK if quick else fanout.FULL, folder, cores, say)


def run_loads(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (b)."""
    return [loads.loads(loads.QUICK if quick else loads.FULL, folder, cores, say)]


def run_adapters(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (c)."""
    return adapters.adapters(adapters.QUICK if quick else adapters.FULL, folder, cores, say)


def run_idle(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (d)."""
    return idle.idle(_contenders(quick), idle.QUICK if quick else idle.FULL, folder, cores, say)


def run_micro(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (e)."""
    return [microscope.microscope(0.05 if quick else 1.0, folder, cores, say)]


def run_fixed(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (f)."""
    return [fixed.fixed(fixed.QUICK if quick else fixed.FULL, folder, cores, say)]


def run_stock(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (g)."""
    return [stock.stock(stock.QUICK if quick else stock.FULL, folder, cores, say)]


def run_precision(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (h)."""
    with on_cores(cores):  # as `fanbench compare` runs
        return [precision.precision(precision.QUICK if quick else precision.FULL, folder, say)]


def run_single(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (i)."""
    return [single.single(single.QUICK if quick else single.FULL, folder, cores, say)]


def run_units(folder: Path, cores: Cores, quick: bool, say: Say) -> Iterable[FigureTable]:
    """Part (j)."""
    return [units.units(units.QUICK if quick else units.FULL, folder, cores, say)]


PARTS: dict[str, Callable[[Path, Cores, bool, Say], Iterable[FigureTable]]] = {
    "fanout": run_fanout,
    "loads": run_loads,
    "adapters": run_adapters,
    "idle": run_idle,
    "micro": run_micro,
    "fixed": run_fixed,
    "stock": run_stock,
    "precision": run_precision,
    "single": run_single,
    "units": run_units,
}


def measure(names: Iterable[str], quick: bool, console: Console) -> tuple[list[FigureTable], dict[str, str]]:
    """Run the parts and print their tables; a part that fails is named with its reason, and the others continue."""
    cores = Cores.choose()
    stay_on(cores.others)
    tables: list[FigureTable] = []
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="fanbench-benchmarks-") as folder, console.status("starting") as status:
        for name in names:
            try:
                for table in PARTS[name](Path(folder), cores, quick, status.update):
                    tables.append(table)
                    print_table(table, console, judged=not quick)
            except FanbenchError as error:
                failed[name] = str(error)
                console.print(f"part '{name}' failed: {error}\n", style="bold red", highlight=False, markup=False)
    return tables, failed


def main() -> int:
    """Exit code 0 if no bar is missed and no part failed; a quick run only shows that it works, and judges nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few clients, short rounds: to check that it works")
    parser.add_argument("--json", type=absolute_path, help="write the results to this file")
    given = parser.parse_args()
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        parser.error(f"unknown part '{unknown[0]}'; parts: {', '.join(PARTS)}")
    console = Console(width=max(Console().width, 120))
    raise_descriptor_limit()
    began_s = time.monotonic()
    try:
        tables, failed = measure(given.parts or PARTS, given.quick, console)
    except UsageError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if given.json:
        write_json(tables, failed, given.json, given.quick)
    verdicts = Counter(bar.verdict for table in tables for bar in table.bars)
    if not given.quick:
        counted = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        console.print(f"bars: {counted}; {(time.monotonic() - began_s) / 60:.1f} minutes", highlight=False)
    return 1 if failed or (verdicts["NOT MET"] and not given.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
