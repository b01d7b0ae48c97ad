"""Writes README's failover table and the last column of its table of contenders: `python -m scripts.failover_table`.

The figures come from results/reference/failovers*. tests/scripts/test_failover_table.py compares README with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from brokers.contenders import all_contenders, cluster_contenders
from brokers.limits import slowness
from harness.analysis.failovers import Failover, failovers
from harness.analysis.judgement_words import seconds
from harness.results.load import load_results
from harness.results.run_record import Comparison

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted((ROOT / "results" / "reference").glob("failovers*"))
BEGIN, END = "<!-- scripts/failover_table.py writes this -->\n", "<!-- to here -->\n"
_CONTENDER = re.compile(r"(\| `([a-z0-9-]+)` \|.*promises \|)[^|]*\|$")
DECIDE = {"down_after_ms", "node_timeout_ms"}
"""Settings that decide how long a failover takes; others, such as how often files are synced, decide what is lost."""


def table(found: Sequence[Failover]) -> str:
    """The table in Markdown: one row for each contender, the shortest silence first."""
    lines = [
        "| three nodes | promise | clients hear nothing for | deliveries lost | of them acknowledged | decided by |",
        "|---|---|---|---|---|---|",
        *map(_row, sorted(found, key=lambda one: max(one.silences_s))),
    ]
    return "\n".join(lines) + "\n"


def deaths(comparisons: Iterable[Comparison]) -> list[Failover]:
    """The fault of each contender that its clients may notice: the death of its leader, or of a node that they use."""
    names = {contender.name: contender for contender in cluster_contenders()}
    found = []
    for one in (one for comparison in comparisons for one in failovers(comparison)):
        contender = names.get(one.outcome.contender)
        leads = contender is not None and contender.clients_at != "any node, none leads"
        if one.silences_s and one.outcome.fault == ("leader-kill" if leads else "connected-node-kill"):
            found.append(one)
    return found


def _row(one: Failover) -> str:
    outcome = one.outcome
    node = "" if outcome.fault == "leader-kill" else " (no leader: a node with a connected replica dies)"
    lost = f"{outcome.total('lost'):,} of {outcome.total('expected'):,}" if outcome.total("lost") else "0"
    settings = ", ".join(f"`{name}` {value:,}" for name, value in one.settings.items() if name in DECIDE)
    why = slowness(outcome.contender, outcome.fault) if outcome.fault == "leader-kill" else None
    cells = (
        f"`{outcome.contender}`{node}",
        outcome.delivery,
        seconds(one.silence_s),
        lost,
        f"{one.lost_though_published:,}",
        settings or ("elections: 4 to 9 s" if why else ""),
    )
    return f"| {' | '.join(cells)} |"


def silences(name: str, found: Sequence[Failover]) -> str:
    """The cell of a single-process contender: the longest silence of each of its clusters."""
    program = next((one.program for one in all_contenders() if one.name == name), None)
    if program == "mosquitto":
        return "no cluster"
    forms = [contender.name for contender in cluster_contenders() if contender.of == name]
    by_name = {one.outcome.contender: one for one in found}
    cells = [
        f"{max(by_name[form].silences_s):.2g} s as `{form}`" if form in by_name else f"`{form}` not measured"
        for form in forms
    ]
    return ", ".join(cells)


def written(readme: str, comparisons: Iterable[Comparison]) -> str:
    """README with the table between its two markers, and the last column of the table of contenders."""
    found = deaths(comparisons)
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = []
    for line in f"{head}{BEGIN}\n{table(found)}\n{END}{tail}".splitlines():
        row = _CONTENDER.match(line)
        lines.append(f"{row[1]} {silences(row[2], found)} |" if row else line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write it."""
    path = ROOT / "README.md"
    path.write_text(written(path.read_text(encoding="utf-8"), map(load_results, FOLDERS)), encoding="utf-8")


if __name__ == "__main__":
    main()
