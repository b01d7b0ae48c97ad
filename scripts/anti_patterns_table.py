"""Writes the table of docs/anti-patterns.md from the valid runs of a comparison: `python -m scripts.anti_patterns_table DIR`.

DIR is the result of the command on that page. A contender without a valid run is an error: its figures would say more
about the measurement than about the pattern.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from core.errors import FanbenchError, UsageError
from core.settings import exit_with
from harness.analysis.standings import Standing, standings
from harness.analysis.verdict import workload
from harness.report.view import number
from harness.results.load import load_results
from harness.results.run_record import Comparison, Run
from harness.results.summary import value_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "anti-patterns.md"
BEGIN, END = "<!-- scripts/anti_patterns_table.py writes this -->\n", "<!-- to here -->\n"
CONTENDERS = ("valkey", "valkey-per-client", "sse-starlette", "rabbitmq", "rabbitmq-per-client")


def _per_delivery(part: str) -> Callable[[Run], float]:
    return lambda run: run.usage[part].cpu_s / run.delivered * 1e6


COLUMNS: dict[str, Callable[[Run], float]] = {
    "broker connections": lambda run: run.figures["broker_connections"],
    "replica CPU, µs per delivery": _per_delivery("server"),
    "broker CPU, µs per delivery": _per_delivery("broker"),
    "replica memory per client, KB": lambda run: run.figures["connection_kb"],
    "broker memory, MB": lambda run: run.usage["broker"].rss_mb,
    "p50, ms": lambda run: value_of(run, "p50_ms") or 0.0,
}


def table(comparison: Comparison) -> str:
    """The load, the day and the command, then a row for each contender: medians of its valid runs.

    Raises:
        UsageError: a contender has no valid run.
    """
    by_name = {standing.contender: standing for standing in standings(comparison)}
    for name in CONTENDERS:
        if name not in by_name or not by_name[name].runs:
            refused = by_name[name].refused if name in by_name else ()
            why = f"; its first run was refused: {refused[0].problems[0]}" if refused else ""
            raise UsageError(
                f"{comparison.name}: no valid run of {name}{why}; measure on an idle machine, and name every contender"
            )
    scenario = comparison.scenario
    rounds = sorted({len(by_name[name].runs) for name in CONTENDERS})
    often = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    lines = [
        f"{workload(scenario)}, {scenario.payload_bytes} bytes, on {comparison.host.get('cpu', 'one machine')}, {comparison.started_utc[:10]}. "
        f"Medians of {often} valid runs of each:",
        "",
        f"| contender | {' | '.join(COLUMNS)} |",
        "|---|" + "---|" * len(COLUMNS),
        *(_row(by_name[name]) for name in CONTENDERS),
    ]
    return "\n".join(lines) + "\n"


def _row(standing: Standing) -> str:
    cells = [number(median(value(run) for run in standing.runs)) for value in COLUMNS.values()]
    return f"| `{standing.contender}` | {' | '.join(cells)} |"


def written(page: str, comparison: Comparison) -> str:
    """The page with the table between its two markers."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(comparison)}\n{END}{tail}"


def main(folder: str) -> None:
    """Write it."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), load_results(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except FanbenchError as error:
        exit_with(error)
