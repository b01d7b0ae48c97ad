"""Where a value stands in an event: `id`, `event`, `data`, or a path into JSON data such as `data.pub.offset`."""

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
        """What stands there in the data, parsed.

        Raises:
            LookupError: nothing does.
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
    """A selector from its text.

    Raises:
        ValueError: it begins with no part of an event, or a step is empty or has letters that no selector has.
    """
    root, *steps = text.split(".")
    if root not in ROOTS:
        raise ValueError(f"it begins with {root!r}; an event has id, event and data, such as data.n")
    if steps and root != "data":
        raise ValueError(f"{root} is text and has no parts; only data may be JSON")
    for step in steps:
        if not _STEP.fullmatch(step):
            raise ValueError(f"{step!r} is no name of a field; write them between dots, such as data.pub.offset")
    return Selector(text, root, tuple(steps))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class IdPattern:
    """How an event's id is made up, such as `{stream}-{seq}`."""

    text: str
    names: tuple[str, ...]
    pattern: re.Pattern[str]

    def parts(self, id: str) -> dict[str, str]:
        """The parts of that id by name.

        Raises:
            LookupError: it is made up otherwise.
        """
        match = self.pattern.fullmatch(id)
        if match is None:
            raise LookupError(f"the id is not made up as {self.text}")
        return match.groupdict()


def parse_id_pattern(text: str) -> IdPattern:
    """A pattern from its text: `{stream}`, `{seq}`, `{topic}`, `{sent}` once each, `{any}` for the rest.

    Raises:
        ValueError: a name is unknown or comes twice, or two stand side by side.
    """
    names = _PART.findall(text)
    for name in names:
        if name not in ID_PARTS:
            raise ValueError(
                f"{{{name}}} is not known; an id is made up of {', '.join(f'{{{one}}}' for one in ID_PARTS)}"
            )
        if name != "any" and names.count(name) > 1:
            raise ValueError(f"{{{name}}} stands in it twice")
    literals = _PART.split(text)[::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError("a brace is not closed; parts stand as {name}")
    if not all(literals[1:-1]):
        raise ValueError("nothing stands between two parts, so that nobody knows where one ends")
    pattern = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        pattern += _PART_PATTERNS.get(name, f"(?P<{name}>.+?)") + re.escape(literal)
    return IdPattern(text, tuple(name for name in names if name != "any"), re.compile(pattern))
