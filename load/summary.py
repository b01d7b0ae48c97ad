"""The result for a person, at the end of the run."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

_COLUMNS = ("p50", "p90", "p99", "p999", "max")


def print_summary(result: dict[str, Any], console: Console) -> None:
    """Print what `build_result` made."""
    seconds = result["duration_s"]
    rate = result["deliveries"] / seconds if seconds else 0.0
    console.print()
    console.print(
        f"[bold]{result['deliveries']:,} deliveries[/] of {result['events']:,} events to {result['clients']:,} clients "
        f"in {seconds:.1f} s: {rate:,.0f} deliveries/s"
    )
    console.print(_latencies(result))
    causes = ", ".join(f"{count:,} {cause.replace('_', ' ')}" for cause, count in sorted(result["causes"].items()))
    console.print(
        f"lost {result['lost']:,}{f' ({causes})' if causes else ''} · duplicated {result['duplicated']:,} · "
        f"reordered {result['reordered']:,} · reconnects {result['reconnects']:,} · gaps {result['gaps']:,}"
    )
    if "recovery" in result:
        recovery = result["recovery"]
        console.print(
            f"after the last fault: first event p50 {recovery['first_event_ms']['p50']:,.0f} ms, "
            f"max {recovery['first_event_ms']['max']:,.0f} ms; longest silence {recovery['longest_silence_ms']['max']:,.0f} ms; "
            f"{recovery['never']:,} of {recovery['clients']:,} clients got none"
        )
    for line in _remarks(result):
        console.print(f"[yellow]![/] {line}", highlight=False)


def _latencies(result: dict[str, Any]) -> Table:
    table = Table(title="milliseconds from the due instant", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in _COLUMNS:
        table.add_column(name.replace("p999", "p99.9"), justify="right")
    rows = {"latency": result["latency_ms"]}
    rows |= {f"  {hop} hop": values for hop, values in result["hops_ms"].items()}
    rows |= {f"  at {name}": one["latency_ms"] for name, one in result["servers"].items() if one["deliveries"]}
    for name, values in rows.items():
        table.add_row(name, *(f"{values[column]:,.2f}" for column in _COLUMNS))
    return table


def _remarks(result: dict[str, Any]) -> list[str]:
    remarks = list(result["problems"])
    if 0 < result["clients"] < result["users"]:
        why = (
            ", ".join(f"{count:,} x {reason}" for reason, count in sorted(result["refused"].items())) or "no answer yet"
        )
        remarks.append(f"{result['users'] - result['clients']:,} of {result['users']:,} clients never connected: {why}")
    if result["unreached"]:
        remarks.append(f"{result['unreached']:,} connected clients never got an event: is a generator running?")
    if result["negative"]:
        remarks.append(f"{result['negative']:,} negative durations: the clocks of the hosts differ")
    if result["foreign"]:
        kinds = ", ".join(f"{count:,} x {reason}" for reason, count in sorted(result["foreign_kinds"].items()))
        remarks.append(f"{result['foreign']:,} events were not ours: {kinds}")
    if result["disconnects"]:
        kinds = ", ".join(f"{count:,} x {reason}" for reason, count in sorted(result["disconnects"].items()))
        remarks.append(f"streams that broke: {kinds}")
    return remarks
