"""URL options (`?name=value`) as adapters declare them: name, kind, meaning and default in one place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import nearest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One option. `endpoint.get(option)` returns its value or the default.

    A wrong value is refused before anything connects.
    """

    name: str
    meaning: str
    default: T
    kind: str
    """A description for errors and for the docs."""
    read: Callable[[str], T] = field(repr=False)
    """Parses a text; raises ValueError with the reason."""
    default_words: str = ""
    """The default in the docs, if the value is not suitable."""

    @property
    def default_text(self) -> str:
        """The default, as the docs show it."""
        if self.default_words:
            return self.default_words
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return "" if self.default is None else str(self.default)


def text(name: str, meaning: str, default: str = "", default_words: str = "") -> Option[str]:
    """Any text except an empty one."""

    def read(value: str) -> str:
        if not value:
            raise ValueError("is empty")
        return value

    return Option(name, meaning, default, "text", read, default_words)


def word(name: str, meaning: str, form: str, must: str, default: str = "", default_words: str = "") -> Option[str]:
    """Text of a form that the protocol takes, as a regular expression; `must` describes that form for errors."""
    pattern = re.compile(form)

    def read(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"is not {must}")
        return value

    return Option(name, meaning, default, "text", read, default_words)


def file(name: str, meaning: str, default_words: str = "none") -> Option[str]:
    """The path of a file; empty if none is given. Its name must end with `_file`, which marks it as a path.

    Raises:
        ValueError: the name does not end with `_file`.
    """
    if not name.endswith("_file"):
        raise ValueError(f"option '{name}' is the path of a file, and its name must end in _file")
    return Option(name, meaning, "", "file", text(name, meaning).read, default_words)


MOST = 2**53
"""Beyond any sensible value, and within what every protocol has room for."""
_DIGITS = 18


def whole_number(
    name: str, meaning: str, default: int, least: int = 0, default_words: str = "", most: int = MOST
) -> Option[int]:
    """A whole number of at least `least` and at most `most`."""

    def read(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or (number := int(value[:_DIGITS])) < least:
            raise ValueError(f"is not a whole number from {least} on")
        if number > most or len(value) > _DIGITS:
            raise ValueError(f"is over {most}")
        return number

    return Option(name, meaning, default, "whole number", read, default_words)


def seconds(name: str, meaning: str, default: float, least: float = 0.0) -> Option[float]:
    """Seconds, possibly with a fraction."""

    def read(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not least <= found < float("inf"):
            raise ValueError(f"is not a number of seconds from {least:g} on")
        return found

    return Option(name, meaning, default, "seconds", read)


def flag(name: str, meaning: str, default: bool = False) -> Option[bool]:
    """`true` or `false`."""
    words = {"true": True, "false": False}

    def read(value: str) -> bool:
        if value not in words:
            raise ValueError("is neither true nor false")
        return words[value]

    return Option(name, meaning, default, "true or false", read)


def choice(name: str, meaning: str, words: Sequence[str], default: str = "", default_words: str = "") -> Option[str]:
    """One of several words."""

    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"is none of them; {nearest(value, words)}")
        return value

    return Option(name, meaning, default, " or ".join(words), read, default_words)
