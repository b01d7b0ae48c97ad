"""The open-loop generator of stamped events."""
