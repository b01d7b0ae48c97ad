"""The place of a value in an event: `id`, `event`, `data`, or a path into JSON data such as `data.pub.offset`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ROOTS = ("id", "event", "data")
_STEP = re.compile(r"[A-Za-z0-9_$@-]+")
_PART = re.compile(r"\{(\w+)\}")
ID_PARTS = ("stream", "seq", "topic", "sent", "any")
_PART_PATTERNS = {"seq": r"(?P<seq>\d{1,18})", "sent": r"(?P<sent>\d{1,19})", "any": r".*?"}


@dataclass(frozen=True, slots=True)
class Selector:
    """A root, and the steps into its JSON."""

    text: str
    root: Literal["id", "event", "data"]
    steps: tuple[str, ...]

    def find(self, json: object) -> object:
        """Return the value at this place in the parsed data.

        Raises:
            LookupError: there is none.
        """
        for step in self.steps:
            if isinstance(json, dict) and step in json:
                json = json[step]
            elif isinstance(json, list) and step.isdigit() and int(step) < len(json):
                json = json[int(step)]
            else:
                raise LookupError(f"{self.text} is missing")
        return json


def parse_selector(text: str) -> Selector:
    """Parse a selector.

    Raises:
        ValueError: it does not begin with a part of an event, or a step is empty or has invalid characters.
    """
    root, *steps = text.split(".")
    if root not in ROOTS:
        raise ValueError(f"it begins with {root!r}; begin with id, event or data, such as data.n")
    if steps and root != "data":
        raise ValueError(f"{root} is text and has no parts; only data may be JSON")
    for step in steps:
        if not _STEP.fullmatch(step):
            raise ValueError(f"{step!r} is not a field's name; put names between dots, such as data.pub.offset")
    return Selector(text, root, tuple(steps))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class IdPattern:
    """The structure of an event's id, such as `{stream}-{seq}`."""

    text: str
    names: tuple[str, ...]
    pattern: re.Pattern[str]

    def parts(self, id: str) -> dict[str, str]:
        """Return the parts of that id by name.

        Raises:
            LookupError: the id does not match the pattern.
        """
        match = self.pattern.fullmatch(id)
        if match is None:
            raise LookupError(f"the id does not match {self.text}")
        return match.groupdict()


def parse_id_pattern(text: str) -> IdPattern:
    """Parse a pattern: `{stream}`, `{seq}`, `{topic}`, `{sent}` once each, `{any}` for the rest.

    Raises:
        ValueError: a name is unknown or occurs twice, or there is no text between two parts.
    """
    names = _PART.findall(text)
    for name in names:
        if name not in ID_PARTS:
            raise ValueError(f"{{{name}}} is not known; use {', '.join(f'{{{one}}}' for one in ID_PARTS)}")
        if name != "any" and names.count(name) > 1:
            raise ValueError(f"{{{name}}} occurs twice; leave one out")
    literals = _PART.split(text)[::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError("a brace is unmatched; write parts as {name}")
    if not all(literals[1:-1]):
        raise ValueError(
            "there is no text between two parts, so the end of the first is unknown; put text between them"
        )
    pattern = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        pattern += _PART_PATTERNS.get(name, f"(?P<{name}>.+?)") + re.escape(literal)
    return IdPattern(text, tuple(name for name in names if name != "any"), re.compile(pattern))
