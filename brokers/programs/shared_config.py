"""The settings of clusters, read from the files in deploy/ that docker compose uses too, so that they cannot differ."""

from __future__ import annotations

import re

from brokers.programs.finding import DEPLOY

_LINE = re.compile(r"\s*(?P<name>[^#\s].*?)(?: = |: | )(?P<value>[^\s{}]+)")
"""A line of Redis' files (`name value`), RabbitMQ's (`name = value`) or NATS' (`name: value`)."""


def read_shared(name: str) -> dict[str, str]:
    """The settings of `deploy/NAME` in order: each line's last word, by the words before it."""
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    return {match["name"]: match["value"] for match in map(_LINE.fullmatch, lines) if match}
