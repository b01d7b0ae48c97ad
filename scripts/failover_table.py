"""Writes README's failover table from results/reference/failovers: `python scripts/failover_table.py`.

Nobody types a figure of it: `tests/test_docs.py` holds README against what this writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brokers.contenders import find_contender
from core.fault import FaultKind
from harness.analysis.failovers import Failover, failovers
from harness.report.failovers import seconds
from harness.results.run_record import Comparison
from harness.results.store import load_results

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results" / "reference" / "failovers"
BEGIN, END = "<!-- scripts/failover_table.py writes this -->\n", "<!-- to here -->\n"
_FAULTS: tuple[FaultKind, ...] = ("leader-kill", "connected-node-kill")
"""Without a leader, the death of a node that replicas are connected to is what comes nearest."""

DECIDE = {"down_after_ms", "node_timeout_ms"}
"""Settings that decide how long it takes; others, such as how often files are synced, decide what is lost."""


def table(comparison: Comparison) -> str:
    """The table in Markdown: a row a contender, the shortest silence first."""
    found = [_chosen(name, failovers(comparison)) for name in dict.fromkeys(run.contender for run in comparison.runs)]
    rows = sorted((one for one in found if one is not None and one.silences_s), key=lambda one: max(one.silences_s))
    lines = [
        "| three nodes of | promise | clients hear nothing for | deliveries lost | of them answered OK | decided by |",
        "|---|---|---|---|---|---|",
        *map(_row, rows),
    ]
    return "\n".join(lines) + "\n"


def _chosen(name: str, found: Sequence[Failover]) -> Failover | None:
    of_name = [one for one in found if one.outcome.contender == name]
    return next((one for fault in _FAULTS for one in of_name if one.outcome.fault == fault), None)


def _row(one: Failover) -> str:
    outcome = one.outcome
    node = "" if outcome.fault == "leader-kill" else " (no leader: the node that a replica is connected to)"
    lost = outcome.total("lost")
    share = f"{lost:,} of {outcome.total('expected'):,}" if lost else "0"
    settings = ", ".join(f"`{name}` {value:,}" for name, value in one.settings.items() if name in DECIDE) or "–"
    cells = (
        f"`{outcome.contender}`{node}",
        find_contender(outcome.contender).delivery,
        seconds(one.silence_s),
        share,
        f"{one.lost_though_published:,}",
        settings,
    )
    return f"| {' | '.join(cells)} |"


def written(readme: str, comparison: Comparison) -> str:
    """README with the table between its two marks."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table(comparison)}\n{END}{tail}"


def main() -> None:
    """Write it."""
    path = ROOT / "README.md"
    path.write_text(written(path.read_text(encoding="utf-8"), load_results(FOLDER)), encoding="utf-8")


if __name__ == "__main__":
    main()
