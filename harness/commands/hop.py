"""`fanbench hop`: generator to consumer without SSE, and what saturates first, the broker or its client library."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brokers.anti_patterns import refuse_anti_pattern
from brokers.programs.catalogue import Launch
from core.errors import FanbenchError, UsageError
from core.scenario import Scenario
from harness.hop.elsewhere import measure_elsewhere
from harness.hop.measure import ContenderHop, as_json, measure_contender
from harness.runner.contenders import choose_contenders
from harness.runner.deployment import Deployment
from harness.runner.fitting import fitting


def require_its_options(deployment: Deployment | None, topics: str | None, generator_processes: int | None) -> None:
    """Raise UsageError for an option that would have no effect: only with replicas elsewhere is there a generator of its own."""
    given = {"--topics": topics, "--generator-processes": generator_processes}
    for option, value in given.items():
        if deployment is None and value is not None:
            raise UsageError(
                f"hop {option} {value}: without --replicas-at, one process publishes and receives on one topic; leave it out, or give "
                "--replicas-at for a generator of its own"
            )
    if deployment is not None and deployment.run_name and not deployment.generators:
        raise UsageError(
            f"hop --run-name {deployment.run_name}: hop has no load workers, and its generator runs here; leave it out, or give "
            "--generators-expected for generators that join"
        )


def hop_command(
    names: Sequence[str],
    scenario: Scenario,
    json_answer: bool,
    launch: Launch = "auto",
    deployment: Deployment | None = None,
) -> int:
    """The command. Exit code 1 if a contender failed, lost messages or did not achieve the rate."""
    chosen = choose_contenders(names, every=not names, launch=launch, deployment=deployment)
    if names and (embedded := [contender.name for contender in chosen if contender.embedded]):
        raise UsageError(
            f"{embedded[0]} has no broker and therefore no hop; name other contenders, or none for all that run here"
        )
    for contender in chosen:
        refuse_anti_pattern(contender, "hop without SSE")
    chosen, left_out = fitting(chosen, scenario, named=bool(names))
    rows, complaints = [], []
    console = Console(stderr=True)
    for sentence in left_out:
        console.print(sentence, highlight=False, markup=False)
    for contender in chosen:
        if contender.embedded:
            continue
        console.print(f"measuring {escape(contender.name)}", highlight=False)
        try:
            with tempfile.TemporaryDirectory(prefix="fanbench-hop-") as folder:
                row = (
                    measure_contender(contender, scenario, Path(folder))
                    if deployment is None
                    else measure_elsewhere(contender, scenario, Path(folder), deployment)
                )
        except FanbenchError as error:
            complaints.append(str(error))
            continue
        rows.append(row)
        complaints += [f"{contender.name}: {problem}" for problem in row.problems]
    if json_answer:
        print(json.dumps([as_json(row) for row in rows]))
    elif rows:
        answer = Console()
        answer.print(
            f"{scenario.rate_hz:,g} messages/s offered; adapter, bare library and broker in µs of CPU per message",
            highlight=False,
        )
        answer.print(_table(rows))
        for row in rows:
            answer.print(f"{row.contender} is limited by: {row.bound}", highlight=False, markup=False)
    for complaint in complaints:
        console.print(complaint, highlight=False, markup=False)
    return 1 if complaints else 0


def _table(rows: Sequence[ContenderHop]) -> Table:
    """`adapter`, `bare`, `broker`: microseconds of CPU per message; `achieved` and `bare/s`: messages per second."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("contender", no_wrap=True)
    for heading in ("achieved", "p50 us", "p99 us", "lost", "adapter", "bare", "broker", "bare/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        found, bare = row.figures, row.bare
        cells: list[float | None] = [found.achieved_hz, found.p50_us, found.p99_us, found.lost, found.client_us]
        cells += [bare.figures.client_us, bare.broker_us, bare.figures.messages_hz] if bare else [None, None, None]
        shown = ["–" if cell is None else f"{cell:,.0f}" for cell in cells]
        table.add_row(escape(row.contender), *shown)
    return table
