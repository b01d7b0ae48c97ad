"""Identifies a clock: the processes of one host share a clock, unless one of them was given another.

The difference between the wall clock and the monotonic one is equal in all processes of a host. NTP slews both, so the
difference changes only when the wall clock is set. Two processes share a clock if host and difference are equal.
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
"""The largest distance between two readings of one difference, if a process is interrupted while it reads."""
MARK_BYTES = 64
"""The largest size of a mark."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_US = 1000
_START, _END = "c=", " "


@cache
def host_name() -> str:
    """A short identifier of this host's current boot; it reveals nothing else."""
    try:
        text = _BOOT_ID.read_text(encoding="ascii")
    except OSError:
        text = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def short_name(server: str) -> str:
    """A replica's short name in a mark."""
    return hashlib.sha256(server.encode()).hexdigest()[:4]


@dataclass(frozen=True, slots=True)
class HostClock:
    """A clock: its host, and its wall time minus its monotonic time."""

    host: str
    boot_ns: int

    @classmethod
    def read(cls) -> HostClock:
        """This process's clock."""
        now = ClockPair.read()
        return cls(host_name(), now.wall_ns - now.monotonic_ns)

    @classmethod
    def parse(cls, text: str) -> HostClock | None:
        """Parse what `str` returns; None for anything else."""
        host, _, boot = text.partition(".")
        try:
            return cls(host, int(boot, 16) * _US) if host and len(text) <= MARK_BYTES else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.host}.{self.boot_ns // _US:x}"

    def is_same(self, other: HostClock) -> bool:
        """Whether both are the same clock."""
        return self.host == other.host and abs(self.boot_ns - other.boot_ns) <= SAME_NS


@dataclass(frozen=True, slots=True)
class ClockMark:
    """An event's mark about its generator's clock: its identity, and how far replica `server` (short name) is ahead."""

    clock: HostClock
    server: str = ""
    ahead: OffsetInterval | None = None

    def encode(self) -> str:
        """The text at the start of an event's padding."""
        text = f"{_START}{self.clock}"
        if self.ahead is not None:
            # Rounded outwards, so that the interval still contains the truth.
            text += f".{self.server}.{self.ahead.low_ns // _US}.{-(-self.ahead.high_ns // _US)}"
        return text + _END

    @classmethod
    def parse(cls, text: str) -> ClockMark | None:
        """Parse what `mark_text` found; None for anything else."""
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


def split_mark(content: str) -> tuple[str, str]:
    """The mark at the start of a session's event, and the content after it; the mark is empty if there is none."""
    if not content.startswith(_START):
        return "", content
    mark, end, rest = content.partition(_END)
    known = end and len(mark) <= MARK_BYTES and ClockMark.parse(mark.removeprefix(_START)) is not None
    return (mark + end, rest) if known else ("", content)


def mark_text(content: str) -> str:
    """The text of the mark at the start of an event's padding; empty if there is none."""
    if not content.startswith(_START):
        return ""
    return content[len(_START) : MARK_BYTES].partition(_END)[0]
