"""The result as text, at the end of the run."""

from __future__ import annotations

from io import StringIO, TextIOWrapper
from typing import TextIO

from rich.console import Console
from rich.table import Table

from core.contracts.clock import ClockComparison
from core.contracts.load_result import LoadResult, RecoveryTimes
from core.contracts.measures import Percentiles
from load.reasons import told
from load.stream_words import stream_lines

LONG_TURN_MS = 1_000.0
"""A longer wait for a turn to connect is named."""
_COLUMNS = ("p50", "p90", "p99", "p99.9", "max")


def print_summary(result: LoadResult, stream: TextIO) -> None:
    """Print the output of `build_result` in the characters that the stream can encode."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    _print(result, Console(file=stream, soft_wrap=True))


def summary_text(result: LoadResult) -> str:
    """The lines of `print_summary`."""
    text = StringIO()
    _print(result, Console(file=text, soft_wrap=True))
    return text.getvalue()


def _print(result: LoadResult, console: Console) -> None:
    console.print()
    if result.problems and not (result.users or result.clients or result.left):  # no test began
        for line in result.problems:
            console.print(f"[yellow]![/] {line}", highlight=False)
        return
    rate = result.deliveries / result.duration_s if result.duration_s else 0.0
    of_events = "" if result.events is None else f" of {result.events:,} events"
    console.print(
        f"[bold]{result.deliveries:,} deliveries[/]{of_events} to {result.clients:,} clients "
        f"in {result.duration_s:.1f} s: {rate:,.0f} deliveries/s"
    )
    times = _times(result)
    if times.row_count:  # nothing was timed if no client connected
        console.print(times)
    if result.clocks is not None and result.clocks.offsets:
        console.print(_clocks(result.clocks))
    console.print(_counts(result))
    if result.streams is not None:
        for line in stream_lines(result.streams):
            console.print(line, highlight=False)
    if result.recovery is not None:
        console.print(_recovery(result.recovery))
    for line in _remarks(result):
        console.print(f"[yellow]![/] {line}", highlight=False)


def _counts(result: LoadResult) -> str:
    if result.lost is None:
        return f"reconnects {result.reconnects:,}"
    by_cause = {cause.value: count for cause, count in (result.causes or {}).items()}
    causes = ", ".join(f"{count:,} {cause.replace('_', ' ')}" for cause, count in sorted(by_cause.items()))
    line = f"lost {result.lost:,}{f' ({causes})' if causes else ''}, duplicated {result.duplicated:,}, "
    line += f"reordered {result.reordered:,}, reconnects {result.reconnects:,}"
    return line if result.streams is not None else f"{line}, gaps {result.gaps:,}"


def _times(result: LoadResult) -> Table:
    since = "the due instant" if result.hops_ms is not None else "when it was sent"
    title = f"milliseconds from {since}" if result.latency_ms is not None else "milliseconds"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    rows: dict[str, Percentiles | None] = {"latency": result.latency_ms}
    if (hops := result.hops_ms) is not None:
        rows |= {"  schedule hop": hops.schedule, "  broker hop": hops.broker, "  fanout hop": hops.fanout}
    rows |= {f"  at {name}": one.latency_ms for name, one in result.servers.items() if one.deliveries}
    if (streams := result.streams) is not None:
        rows |= {"connect": result.connect_ms, "first event": streams.first_event_ms}
        rows |= {"gap between events": streams.gap_ms, "longest silence of a client": streams.silence_ms}
        rows |= {"whole answer": streams.answer_ms}
    for name, ms in rows.items():
        if ms is not None:
            table.add_row(name, *(f"{value:,.2f}" for value in (ms.p50, ms.p90, ms.p99, ms.p999, ms.max)))
    return table


def _clocks(clocks: ClockComparison) -> str:
    """How far the clocks are from the reference's, and how exactly the hops are known."""
    ahead = ", ".join(f"{name} {one.ahead_ms:+,.2f} ±{one.bound_ms:,.2f}" for name, one in clocks.offsets.items())
    bounds = ", ".join(f"{span} ±{bound_ms:,.2f}" for span, bound_ms in clocks.bounds_ms.items())
    return f"clocks against {clocks.reference}'s, corrected, in ms: {ahead}; figures are within: {bounds or 'nothing measured'}"


def _recovery(recovery: RecoveryTimes) -> str:
    return (
        f"after the last fault: first event p50 {recovery.first_event_ms.p50:,.0f} ms, "
        f"max {recovery.first_event_ms.max:,.0f} ms; longest silence {recovery.longest_silence_ms.max:,.0f} ms; "
        f"{recovery.never:,} of {recovery.clients:,} clients got none"
    )


def _remarks(result: LoadResult) -> list[str]:
    remarks = [*result.problems, *result.breaches]
    if result.turn_ms is not None and result.turn_ms.max >= LONG_TURN_MS:
        remarks.append(
            f"clients waited up to {result.turn_ms.max / 1000:,.1f} s for their turn to connect, because answers came late: "
            "the servers, or this process, are at their limit"
        )
    if result.left:
        remarks.append(f"{result.left:,} clients left before the end, because workers or the number of users changed")
    if result.unreached and result.deliveries:  # without any, a problem says so
        hint = "is a generator running?" if result.streams is None else "does the service send any to their topics?"
        remarks.append(f"{result.unreached:,} connected clients never got an event: {hint}")
    if result.negative and result.streams is not None:  # at replicas it is a problem
        remarks.append(f"{result.negative:,} negative durations: the service's clock and this host's differ")
    if result.foreign and result.deliveries:
        what = "not ours" if result.streams is None else "not as the dialect describes"
        remarks.append(f"{result.foreign:,} events were {what}: {told(result.foreign_kinds)}")
    if result.disconnects:
        remarks.append(f"broken streams: {told(result.disconnects)}")
    if result.refused and result.streams is not None and not result.missing_clients:
        remarks.append(f"attempts that got no stream: {told(result.refused)}")
    return remarks
