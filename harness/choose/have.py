"""Finds the programs that a user already runs by their usual names, and explains an unknown name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from brokers.contender import Contender
from brokers.contenders import all_contenders, cluster_contenders
from harness.analysis.judgement_words import listed

_ALSO = {
    "postgresql": "postgres",
    "pg": "postgres",
    "rabbit": "rabbitmq",
    "redis-server": "redis",
    "valkey-server": "valkey",
    "nats-server": "nats",
    "jetstream": "nats",
}
"""Other common names of programs."""
_PROTOCOLS = {"mqtt": ("mqtt",), "amqp": ("amqp", "amqp+stream")}
"""Protocols that people name instead of a program, with the URL schemes of contenders that use them."""
_MISSPELT = 0.75
"""The likeness above which a word is a misspelt program; activemq, keydb, nsq and kinesis are others, less like any."""
_VERSION = re.compile(r"[\s:@?].*")
"""What may stand after a name: `redis 7.2`, `redis:7`, `postgres?fsync=0`."""


def program_named(word: str) -> str | None:
    """The program that a word means, which may be a contender's name; None if it is unknown."""
    name = _VERSION.sub("", word.strip().lower())
    name = _ALSO.get(name, name)
    single = {contender.name: contender.program for contender in all_contenders()}
    if name in _programs():
        return name
    if name in single:
        return single[name]
    return next((single.get(cluster.of) for cluster in cluster_contenders() if cluster.name == name), None)


def unknown_programs(have: Sequence[str]) -> list[str]:
    """A sentence, with the next step, for each word that names no program with an adapter."""
    return [_unknown(word) for word in have if program_named(word) is None]


def _programs() -> list[str]:
    return sorted({contender.program for contender in all_contenders() if contender.program})


def _unknown(word: str) -> str:
    if "," in word:
        return f"{word!r} is no program: give each of several by itself, as in --have redis --have nats"
    schemes = _PROTOCOLS.get(word.strip().lower())
    if schemes:
        speak = [one for one in all_contenders() if one.program and _scheme(one) in schemes]
        programs = sorted({one.program for one in speak if one.program})
        return (
            f"{word} is a protocol, which {listed([one.name for one in speak])} speak: name the program that you run, "
            f"{listed(programs, 'or')}"
        )
    close = difflib.get_close_matches(word.strip().lower(), _programs(), n=1, cutoff=_MISSPELT)
    if close:
        return f"fanbench knows no program {word!r}: did you mean {close[0]!r}? This answer ignores the word"
    return (
        f"fanbench has no adapter for {word}: docs/adapters.md shows how to write one; this answer is about "
        f"{', '.join(_programs())}"
    )


def _scheme(contender: Contender) -> str:
    return contender.url.partition("://")[0]
