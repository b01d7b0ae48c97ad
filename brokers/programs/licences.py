"""The licence of each program, by its SPDX name; docs/brokers.md has the sources."""

from __future__ import annotations

import re

_OF_PROGRAM = {
    "valkey": "BSD-3-Clause",
    "rabbitmq": "MPL-2.0",
    "mosquitto": "EPL-2.0 or BSD-3-Clause",
    "nats": "Apache-2.0",
    "postgres": "PostgreSQL",
}
_REDIS = (
    ((8, 0), "AGPL-3.0, RSALv2 or SSPL-1.0"),
    ((7, 4), "RSALv2 or SSPL-1.0"),
    ((0, 0), "BSD-3-Clause"),
)
"""The first version with this licence."""


def licence(program: str, version: str) -> str:
    """The licence of a program, or of its cluster such as `valkey-sentinel`; empty if unknown.

    Redis changed its licence twice, so its version decides; without a version the result is empty.
    """
    product = program.partition("-")[0]
    if product != "redis":
        return _OF_PROGRAM.get(product, "")
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        return ""
    measured = (int(match[1]), int(match[2]))
    return next(name for since, name in _REDIS if measured >= since)
