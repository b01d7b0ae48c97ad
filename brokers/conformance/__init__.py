"""The kit that proves an adapter: one test for each promise of brokers/api.py.

An adapter's test is a subclass of Conformance that names a contender or a URL; see docs/adapters.md. The class has no
test for what the adapter does not declare (replay, at-least-once), or for what cannot be done to it (fanbench never
kills a broker that it did not start). `run_conformance` does the same without pytest.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from brokers.anti_patterns import refuse_anti_pattern
from brokers.conformance.delivery import DeliveryPromises
from brokers.conformance.failure import FailurePromises
from brokers.conformance.gone import GonePromises
from brokers.conformance.links import LinkPromises, has_two_loopbacks
from brokers.conformance.provocations import Provocations, pending_of, provocations_of
from brokers.conformance.topics import TopicPromises
from brokers.conformance.workbench import Workbench, benched, has_link, tells_addresses
from brokers.contender import Contender
from brokers.contenders import find_contender
from brokers.errors import BrokerError
from brokers.programs.catalogue import Launch
from brokers.registry import open_endpoint
from core.errors import FanbenchError, UsageError

PROMISE_TIMEOUT_S = 180.0
"""Longer than any program takes to restart."""


_KINDS = (DeliveryPromises, TopicPromises, FailurePromises, LinkPromises, GonePromises)


class Conformance(DeliveryPromises, TopicPromises, FailurePromises, LinkPromises, GonePromises):
    """One test for each promise; a subclass sets `contender`, and pytest's fixture `broker` gives its Workbench.

    `provocations` describes what can be done to a foreign adapter's broker; for our own contenders it is known.
    """

    contender: ClassVar[str]
    provocations: ClassVar[Provocations | None] = None

    def __init_subclass__(cls) -> None:
        found = features_of(find_contender(cls.contender), cls.provocations)
        pending = pending_of(cls.contender)
        for name, missing in promises(found):
            if missing or name in pending:
                setattr(cls, name, None)


class PromiseOutcome(NamedTuple):
    """The outcome of one promise."""

    promise: str
    """The result as text."""
    status: str
    """`kept`, `broken`, `not applicable`, or `not yet` for promises that a built-in adapter does not keep yet."""
    detail: str = ""
    """Why it is not kept, in one line."""


def features_of(contender: Contender, own: Provocations | None = None) -> set[str]:
    """Possible requirements of promises: link, program, password, replay, payload limit, two loopbacks, delivery, provocations."""
    adapter, endpoint = open_endpoint(contender.url.replace("{", "").replace("}", ""), contender.delivery)
    found = {endpoint.delivery}
    found |= {"replay"} if adapter.replay else set()
    found |= {"program"} if contender.program else set()
    found |= {"password"} if endpoint.password or (contender.program and not contender.clustered) else set()
    found |= {"payload bound"} if getattr(adapter, "max_payload_bytes", 0) else set()
    found |= {"two loopbacks"} if has_two_loopbacks() else set()
    found |= (own or provocations_of(contender.name)).features
    return found | ({"link"} if has_link(endpoint) or (contender.program and not tells_addresses(endpoint)) else set())


def promises(features: set[str]) -> Iterator[tuple[str, set[str]]]:
    """The name of each promise's test, and the requirements that the features do not meet."""
    for name in itertools.chain.from_iterable(map(vars, _KINDS)):
        if name.startswith("test_"):
            yield name, set(getattr(getattr(Conformance, name), "needs", ())) - features


def run_conformance(name_or_url: str, report: Callable[[PromiseOutcome], None], launch: Launch = "auto") -> bool:
    """Prove every promise of a contender, or of the adapter and running broker of a URL.

    Calls `report` for each; returns whether none is broken.

    Raises:
        UsageError: there is no such contender, it cannot run here, or no broker answers at the URL.
        FanbenchError: its program does not start.
    """
    contender = find_contender(name_or_url).launched_by(launch)
    refuse_anti_pattern(contender, "adapter")
    contender.require_runnable()
    kept = True
    with tempfile.TemporaryDirectory(prefix="fanbench-") as folder, benched(contender, Path(folder)) as broker:
        features = features_of(contender)
        if contender.program is None:
            asyncio.run(_require_answer(broker))
        no_link = asyncio.run(_why_no_link(broker)) if "link" in features and contender.program is None else ""
        for name, missing in promises(features - {"link"} if no_link else features):
            outcome = _unproved(name, missing, contender, no_link)
            if outcome is None:
                if broker.running is not None and broker.running.ended:  # a test whose promise failed left it dead
                    broker.running.start_again()
                outcome = _prove(name, broker)
            report(outcome)
            kept = kept and outcome.status not in ("broken", "not yet")
    return kept


def _unproved(name: str, missing: set[str], contender: Contender, no_link: str) -> PromiseOutcome | None:
    """The outcome of a promise that cannot be proved; None for one that can be."""
    if name in pending_of(contender.name):
        return PromiseOutcome(_words(name), "not yet", "this adapter does not keep it yet")
    if not missing:
        return None
    never = provocations_of(contender.name).inapplicable
    reasons = [no_link] if "link" in missing and no_link else [never[word] for word in sorted(missing & never.keys())]
    why = "; ".join(["", *dict.fromkeys(reasons)])
    return PromiseOutcome(_words(name), "not applicable", f"needs {', '.join(sorted(missing))}{why}")


async def _require_answer(broker: Workbench) -> None:
    try:
        async with broker.producer():
            pass
    except FanbenchError as error:
        raise UsageError(str(error)) from error
    except Exception:  # noqa: S110 - an adapter that raises anything else: the promises will report it
        pass


async def _why_no_link(broker: Workbench) -> str:
    """Why the broker cannot be reached through a proxy: for example, a TLS certificate names another host."""
    with broker.proxy() as (_, endpoint):
        try:
            async with broker.producer(endpoint):
                return ""
        except BrokerError as error:
            return f"through a proxy: {error}"
        except Exception:  # the promises will report it
            return ""


def _words(name: str) -> str:
    return (getattr(Conformance, name).__doc__ or name).strip()


def _prove(name: str, broker: Workbench) -> PromiseOutcome:
    async def prove() -> None:
        async with asyncio.timeout(PROMISE_TIMEOUT_S):
            await getattr(Conformance(), name)(broker)

    try:
        asyncio.run(prove())
    except Exception as error:  # an adapter may raise anything; show it
        cause: Any = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        own = isinstance(cause, AssertionError | FanbenchError)
        return PromiseOutcome(_words(name), "broken", f"{cause}" if own else f"{type(cause).__name__}: {cause}")
    return PromiseOutcome(_words(name), "kept")
