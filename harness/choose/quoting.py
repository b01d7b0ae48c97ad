"""How an answer writes a number and cites a figure's source."""

from __future__ import annotations

from harness.analysis.stored_results import Result


def cite(result: Result, number: int) -> str:
    """`run 12 of 20251124T013600Z-broadcast`."""
    return f"run {number} of {result.name}"


def counted(number: float) -> str:
    """`10,000`, `2.5`: with separators and without an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
