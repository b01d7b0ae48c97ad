"""`fanbench conformance`: a line for each promise of an adapter, proved on the real program."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape

from brokers.conformance import PromiseOutcome, run_conformance
from brokers.programs.catalogue import Launch

_STYLE = {"kept": "green", "broken": "red", "not applicable": "dim", "not yet": "yellow"}


def conformance_command(name_or_url: str, json_answer: bool, launch: Launch = "auto") -> int:
    """Run the kit. The exit code is 0 if no promise is broken, otherwise 1; each promise is one line, however narrow the screen."""
    console, outcomes = Console(), []

    def report(outcome: PromiseOutcome) -> None:
        outcomes.append(outcome)
        if not json_answer:
            style = _STYLE[outcome.status]
            detail = f" [dim]({escape(outcome.detail)})[/]" if outcome.detail else ""
            console.print(
                f"[{style}]{outcome.status:>14}[/]  {escape(outcome.promise)}{detail}", highlight=False, soft_wrap=True
            )

    kept = run_conformance(name_or_url, report, launch)
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in _STYLE}
    if json_answer:
        print(json.dumps({"contender": name_or_url, **counts, "promises": [o._asdict() for o in outcomes]}))
    else:
        told = [f"{count} {status}" for status, count in counts.items() if count or status != "not yet"]
        console.print(", ".join(told), highlight=False, soft_wrap=True)
    return 0 if kept else 1
