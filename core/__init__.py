"""Shared vocabulary of the four programs: event stamp, SSE codec, clock, histogram, scenario, errors."""
