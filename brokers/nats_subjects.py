"""Topics as NATS subjects."""

from __future__ import annotations

import re
from collections.abc import Iterable

from brokers.endpoint import Endpoint
from brokers.topic_names import TopicNames

MAX_TOPIC_BYTES = 3_800
"""A server's control line has at most 4,096 bytes by default; the rest is for what surrounds the subject."""
NAME = r"[^\s.*>/\\\x00-\x1f\x7f]{1,255}"
NAME_WORDS = "a name without blanks and . * > / \\"
SUBJECT_PREFIX = r"[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*"
SUBJECT_WORDS = "the start of a subject, such as a.b, without blanks and wildcards"
_SPECIAL = re.compile(r"[*>%\s\x00-\x1f\x7f]")
_EMPTY_TOKEN = re.compile(r"^\.|\.\.|\.$")


def subject_of(topic: str) -> str:
    """Return the NATS subject of a topic: the same word, with percent codes for characters that have a meaning in NATS."""
    subject = _SPECIAL.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), topic)
    return subject.replace(".", "%2E") if _EMPTY_TOKEN.search(subject) else subject


def topic_names(endpoint: Endpoint) -> TopicNames:
    """Topics as subjects without wildcards."""
    return TopicNames(endpoint, MAX_TOPIC_BYTES, subject_of)


def overlap(one: str, other: str) -> bool:
    """Whether a subject exists that matches both; each may have wildcards."""
    words, others = one.split("."), other.split(".")
    for word, its in zip(words, others, strict=False):
        if ">" in (word, its):
            return True
        if "*" not in (word, its) and word != its:
            return False
    return len(words) == len(others)


def taken_by(patterns: Iterable[str], subject: str) -> bool:
    """Whether one of these patterns matches the subject."""
    return any(overlap(pattern, subject) for pattern in patterns)
