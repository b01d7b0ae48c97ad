"""How an answer names the source of a figure."""

from __future__ import annotations

from harness.analysis.stored_results import Result


def cite(result: Result, number: int) -> str:
    """`run 12 of 20251124T013600Z-broadcast`."""
    return f"run {number} of {result.name}"
