"""Which events of sessions say what is known of this generator's clock: they have no padding that could always carry it."""

from __future__ import annotations

from generator.clocks import ReplicaClocks

MARK_AGAIN_NS = 500_000_000
"""A session's mark is renewed this often, where clocks are compared; an event in between relies on the last one."""


class SessionMarks:
    """The first event of each session carries the mark, and later ones renew it."""

    def __init__(self, clocks: ReplicaClocks) -> None:
        self._clocks = clocks
        self._marked_ns: dict[str, int] = {}

    def before(self, topic: str, seq: int, now_ns: int) -> bytes:
        """What stands before the content of this event; mostly nothing."""
        if seq and not (self._clocks.estimators and now_ns - self._marked_ns[topic] >= MARK_AGAIN_NS):
            return b""
        self._marked_ns[topic] = now_ns
        return self._clocks.mark.encode()
