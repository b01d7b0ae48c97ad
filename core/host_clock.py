"""Whose clock it is: processes of one host read one clock, unless somebody gave one of them another.

The wall clock minus the monotonic one is the same in all processes of a host, and stays so while NTP slews both; it changes when the wall
clock is set. So two processes have one clock where host and difference are equal.
"""

from __future__ import annotations

import hashlib
import platform
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.clock import ClockPair
from core.clock_offset import OffsetInterval

SAME_NS = 500_000
"""So much two readings of one difference may lie apart, when a process is interrupted while it reads."""
MARK_BYTES = 64
"""What a mark takes at most."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_US = 1000
_START, _END = "c=", " "


@cache
def host_name() -> str:
    """A short name of this boot of this host; it tells nothing else."""
    try:
        text = _BOOT_ID.read_text(encoding="ascii")
    except OSError:
        text = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def short_name(server: str) -> str:
    """A replica's name as a mark holds it."""
    return hashlib.sha256(server.encode()).hexdigest()[:4]


@dataclass(frozen=True, slots=True)
class HostClock:
    """A clock: its host, and its wall time minus its monotonic time."""

    host: str
    boot_ns: int

    @classmethod
    def read(cls) -> HostClock:
        """This process's."""
        now = ClockPair.read()
        return cls(host_name(), now.wall_ns - now.monotonic_ns)

    @classmethod
    def parse(cls, text: str) -> HostClock | None:
        """Read what `str` gives; None for anything else."""
        host, _, boot = text.partition(".")
        try:
            return cls(host, int(boot, 16) * _US) if host and len(text) <= MARK_BYTES else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.host}.{self.boot_ns // _US:x}"

    def is_same(self, other: HostClock) -> bool:
        """Whether both are one clock."""
        return self.host == other.host and abs(self.boot_ns - other.boot_ns) <= SAME_NS


@dataclass(frozen=True, slots=True)
class ClockMark:
    """What an event says of its generator's clock: which it is, and how far the replica `server` (its short name) is ahead of it."""

    clock: HostClock
    server: str = ""
    ahead: OffsetInterval | None = None

    def encode(self) -> str:
        """As it stands at the start of an event's filling."""
        text = f"{_START}{self.clock}"
        if self.ahead is not None:
            # Rounded outwards, so that the interval still holds the truth.
            text += f".{self.server}.{self.ahead.low_ns // _US}.{-(-self.ahead.high_ns // _US)}"
        return text + _END

    @classmethod
    def parse(cls, text: str) -> ClockMark | None:
        """Read what `mark_text` found; None for anything else."""
        parts = text.split(".")
        clock = HostClock.parse(".".join(parts[:2]))
        if clock is None or len(parts) not in (2, 5):
            return None
        if len(parts) == 2:
            return cls(clock)
        try:
            ahead = OffsetInterval(int(parts[3]) * _US, int(parts[4]) * _US)
        except ValueError:
            return None
        return cls(clock, parts[2], ahead)


def mark_text(content: str) -> str:
    """The text of the mark at the start of what an event carries; empty where there is none."""
    if not content.startswith(_START):
        return ""
    return content[len(_START) : MARK_BYTES].partition(_END)[0]
