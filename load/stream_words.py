"""The summary's lines about an endpoint: the content of its events, which decides what could be measured."""

from __future__ import annotations

from core.contracts.load_result import StreamFigures


def stream_lines(streams: StreamFigures) -> list[str]:
    """The lines, the most important first."""
    per_s = "" if streams.events_per_s is None else f", {streams.events_per_s:,.1f} deliveries/s"
    whole = f", {streams.whole:,} answers came whole" if streams.whole else ""
    redirects = f", {streams.redirects:,} redirects followed" if streams.redirects else ""
    lines = [
        f"{streams.opened:,} streams opened{whole}{redirects}, {streams.body_bytes / 1e6:,.1f} MB of bodies{per_s}",
    ]
    if (
        streams.stamped or streams.timed or streams.unidentified or streams.knows
    ):  # without events nothing is known about them
        lines.append(_known(streams))
    if "time" in streams.knows and streams.clock_offset_ms is not None:
        low, high = streams.clock_offset_ms.low_ms, streams.clock_offset_ms.high_ms
        if low <= high:
            lines.append(
                f"by its Date headers the server's clock is {low:+,.0f} to {high:+,.0f} ms from ours; latency is off by as much"
            )
        else:
            lines.append(
                "its Date headers come from several clocks that differ by over a second; latency is off by as much"
            )
    return lines


def _known(streams: StreamFigures) -> str:
    if "stamp" in streams.knows:
        return "known: fanbench's own stamp, so loss, order and latency from the due instant"
    told = [
        name for name, is_known in (("identity", "identity"), ("time of sending", "time")) if is_known in streams.knows
    ]
    lacking = []
    if "identity" not in streams.knows:
        lacking.append("lost, duplicated and reordered events")
    if "time" not in streams.knows:
        lacking.append("latency")
    line = f"known: {' and '.join(told) or 'nothing about the events'}"
    if lacking:
        line += f"; not measured: {' and '.join(lacking)} (a dialect can name the places of id and time: --dialect)"
    some = [f"{streams.stamped:,} fanbench's stamp"] if streams.stamped else []
    some += [f"{streams.timed:,} a time"] if streams.timed and "time" not in streams.knows else []
    return f"{line}; of all deliveries {', '.join(some)}: --dialect can ignore the others" if some else line
