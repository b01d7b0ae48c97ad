"""The kit that proves an adapter: one test for each promise of brokers/api.py.

An adapter's test is a subclass of Conformance that names a contender or a URL; see docs/adapters.md. What the adapter
does not declare (replay, at-least-once), and what cannot be done to it (a broker that is not ours is not killed), is no
test of that class. `run_conformance` does the same without pytest.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from brokers.conformance.bench import Bench, benched
from brokers.conformance.delivery import DeliveryPromises
from brokers.conformance.failure import FailurePromises
from brokers.contenders import Contender, find_contender
from brokers.programs.catalogue import Launch
from brokers.registry import open_endpoint
from core.errors import FanbenchError

PROMISE_TIMEOUT_S = 90.0


class Conformance(FailurePromises, DeliveryPromises):
    """One test for each promise; a subclass sets `contender`, and pytest's fixture `broker` gives its Bench."""

    contender: ClassVar[str]

    def __init_subclass__(cls) -> None:
        found = features_of(find_contender(cls.contender))
        for name, missing in promises(found):
            if missing:
                setattr(cls, name, None)


class Outcome(NamedTuple):
    """What became of one promise."""

    promise: str
    """In words."""
    status: str
    """`kept`, `broken`, or `not applicable`."""
    detail: str = ""
    """Why it is broken or not applicable, in one line."""


def features_of(contender: Contender) -> set[str]:
    """What promises may need: link, program, replay, and the delivery."""
    adapter, endpoint = open_endpoint(contender.url.replace("{", "").replace("}", ""), contender.delivery)
    found = {endpoint.delivery}
    found |= {"replay"} if adapter.replay else set()
    found |= {"program"} if contender.program else set()
    return found | ({"link"} if contender.program or endpoint.port else set())


def promises(features: set[str]) -> Iterator[tuple[str, set[str]]]:
    """The name of each promise's test, and what it needs that is not among the features."""
    for name in (*vars(DeliveryPromises), *vars(FailurePromises)):
        if name.startswith("test_"):
            yield name, set(getattr(getattr(Conformance, name), "needs", ())) - features


def run_conformance(name_or_url: str, report: Callable[[Outcome], None], launch: Launch = "auto") -> bool:
    """Prove every promise of a contender, or of the adapter and the running broker behind a URL.

    Calls `report` for each; returns whether none is broken.

    Raises:
        UsageError: there is no such contender, or it cannot run here. FanbenchError: its program does not come up.
    """
    contender = find_contender(name_or_url).launched_by(launch)
    contender.require_runnable()
    kept = True
    with tempfile.TemporaryDirectory(prefix="fanbench-") as folder, benched(contender, Path(folder)) as broker:
        for name, missing in promises(features_of(contender)):
            outcome = Outcome(_words(name), "not applicable", f"needs {', '.join(sorted(missing))}")
            if not missing:
                outcome = _prove(name, broker)
            report(outcome)
            kept = kept and outcome.status != "broken"
    return kept


def _words(name: str) -> str:
    return (getattr(Conformance, name).__doc__ or name).strip()


def _prove(name: str, broker: Bench) -> Outcome:
    async def prove() -> None:
        async with asyncio.timeout(PROMISE_TIMEOUT_S):
            await getattr(Conformance(), name)(broker)

    try:
        asyncio.run(prove())
    except Exception as error:  # an adapter may raise anything; that is what is to be shown
        cause: Any = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        own = isinstance(cause, AssertionError | FanbenchError)
        return Outcome(_words(name), "broken", f"{cause}" if own else f"{type(cause).__name__}: {cause}")
    return Outcome(_words(name), "kept")
