"""Settings of a broker program: whole numbers that are declared, shown with each result, and chosen by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import UsageError, nearest


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that decides how long a failover takes or what a promise costs.

    It is shown with each result, and set by `?name=value` after a contender's name.
    """

    name: str
    default: int
    meaning: str
    lowest: int = 0
    highest: int = 1_000_000_000

    def read(self, program: str, text: str) -> int:
        """A value that the user gave.

        Raises:
            UsageError: it is not a whole number, or out of range.
        """
        where = f"{program}?{self.name}={text}"
        if not (text.isascii() and text.removeprefix("-").isdigit()):
            raise UsageError(f"{where}: not a whole number; its default is {self.default}: {self.meaning}")
        if not self.lowest <= int(text) <= self.highest:
            raise UsageError(f"{where}: give {self.lowest} to {self.highest}: {self.meaning}")
        return int(text)


def read_settings(program: str, settings: Sequence[Setting], given: Mapping[str, str]) -> dict[str, int]:
    """The value of each setting; `given` has those that the user chose.

    Raises:
        UsageError: the program has no such setting, or the value is out of range.
    """
    known = {setting.name: setting for setting in settings}
    for name in given:
        if name not in known:
            raise UsageError(f"{program} has no setting '{name}'; {nearest(name, list(known))}")
    return {
        name: setting.read(program, given[name]) if name in given else setting.default
        for name, setting in known.items()
    }
