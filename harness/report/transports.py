"""The table that compares Server-Sent Events with WebSocket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.report.view import Cell, Table, number
from harness.results.run_record import TRANSPORTS, Comparison, Run


class _Figure(NamedTuple):
    """A row of the table."""

    name: str
    cut: bool
    """Whether the value comes from the run with the cut."""
    unit: str


_FIGURES = {
    "event_bytes": _Figure("bytes of an event on the wire", False, ""),
    "cpu_us": _Figure("server CPU per delivery", False, " µs"),
    "p99_ms": _Figure("latency p99", False, " ms"),
    "connect_p50_ms": _Figure("time to connect, p50", False, " ms"),
    "connection_kb": _Figure("server memory per connection", False, " KB"),
    "recovery_p50_ms": _Figure("first event after a cut, p50", True, " ms"),
    "replayed": _Figure("deliveries recovered by resuming", True, ""),
    "lost": _Figure("lost in the cut", True, ""),
    "duplicated": _Figure("delivered twice in the cut", True, ""),
}
_WORDS = (
    ("protocol", "HTTP: one long response", "its own frames, after an HTTP handshake"),
    ("data flow", "server to client", "both ways"),
    ("implementation", "like any REST endpoint", "a special case, with its own modules on the server"),
    ("client", "`EventSource`, in every browser", "the page's own code reads the messages"),
    ("after a loss", "the browser reconnects and sends Last-Event-ID", "the page's own code must do both"),
    ("infrastructure", "any that does not buffer a long response", "must forward Upgrade"),
    ("payload", "text", "text, or structured packets in binary"),
)
"""Rows with facts instead of measurements."""


def figure_of(run: Run, name: str) -> float | None:
    """Return one of the table's figures of a run; None if the run did not measure it."""
    if name == "cpu_us":
        server = run.usage.get("server")
        return server.cpu_s / run.delivered * 1e6 if server and run.delivered else None
    if name == "p99_ms":
        return run.histograms["latency"].percentile_ms(99) if run.delivered else None
    if name in ("lost", "duplicated"):
        return float(getattr(run, name))
    return run.figures.get(name)


def transport_tables(comparison: Comparison) -> list[Table]:
    """Return a table for each contender that ran over several transports, with labelled medians over its valid runs."""
    found = []
    for contender in dict.fromkeys(run.contender for run in comparison.runs):
        runs = [run for run in comparison.runs if run.contender == contender]
        transports = [name for name in TRANSPORTS if any(run.transport == name for run in runs)]
        if len(transports) > 1:
            found.append(_table(contender, runs, transports))
    return found


def _table(contender: str, runs: Sequence[Run], transports: Sequence[str]) -> Table:
    rows = [[Cell(name), Cell(sse, "text"), Cell(ws, "text")] for name, sse, ws in _WORDS]
    for name, figure in _FIGURES.items():
        cells = [Cell(figure.name)]
        for transport in transports:
            values = [
                value
                for run in runs
                if run.transport == transport and run.valid and bool(run.scenario.faults) == figure.cut
                if (value := figure_of(run, name)) is not None
            ]
            text = number(float(np.median(values))) + figure.unit if values else "not measured"
            cells.append(Cell(text))
        rows.append(cells)
    note = (
        "Medians over valid rounds; the last four rows are from one further run, in which every connection was cut at once. "
        "Both transports use the same hub and the same client, which resumes by the last event's id on either."
    )
    title = f"Server-Sent Events or WebSocket, with {contender}"
    return Table(title, ["", *(TRANSPORTS[name] for name in transports)], rows, note)
