"""Contenders that show the cost of anti-patterns: servers as in many tutorials, with the same broker and load.

They take part only if they are named, and `fanbench choose` never proposes them.
"""

from __future__ import annotations

from brokers.contender import Contender
from core.errors import UsageError

ANTI_PATTERNS = (
    Contender(
        "valkey-per-client",
        "at-most-once",
        "redis://{redis}",
        "valkey",
        server="valkey-per-client",
        anti_pattern="a connection to the broker for each client",
    ),
    Contender(
        "rabbitmq-per-client",
        "at-most-once",
        "amqp://{amqp}",
        "rabbitmq",
        server="rabbitmq-per-client",
        anti_pattern="a connection to the broker and a queue there for each client",
    ),
    Contender(
        "sse-starlette",
        "at-most-once",
        "redis://{redis}",
        "valkey",
        server="sse-starlette",
        anti_pattern="a queue without a bound in the replica for each client",
    ),
)


def anti_pattern(name: str) -> str:
    """What is wrong with a contender, by its name in a result; empty if it is not an anti-pattern."""
    return next((one.anti_pattern for one in ANTI_PATTERNS if one.name == name.partition("#")[0]), "")


def refuse_anti_pattern(contender: Contender, what: str) -> None:
    """Raise UsageError if its server cannot do `what`."""
    if contender.anti_pattern:
        raise UsageError(
            f"contender '{contender.name}' has its own server, which has no {what}; "
            "use it with compare, capacity or faults, over sse"
        )
