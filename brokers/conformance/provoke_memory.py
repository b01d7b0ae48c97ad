"""`memory` has no broker, so nothing disappears, moves or has permissions."""

from __future__ import annotations

from brokers.conformance.provocations import Provocations
from brokers.endpoint import RUN_NAME, Endpoint
from brokers.memory import spaces_of

_NO_BROKER = "there is no broker"


async def _leftovers(endpoint: Endpoint) -> list[str]:
    return spaces_of(endpoint.get(RUN_NAME))


PROVOCATIONS = {
    "memory": Provocations(
        leftovers=_leftovers, inapplicable=dict.fromkeys(("restricted", "vanish", "elsewhere"), _NO_BROKER)
    )
}
