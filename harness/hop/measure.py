"""The cost of a message from generator to consumer without SSE: through an adapter, and through its bare library."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from brokers.contender import Broker, Contender
from core.contracts.codec import D, Document, decode, encode
from core.contracts.hop import HopFigures, HopPlan, LoopFigures, LoopPlan
from core.errors import FanbenchError
from core.process import OWN_PYTHON
from core.scenario import Scenario
from harness.results.validity import MIN_ACHIEVED
from harness.runner.processes import child_env
from harness.runner.resources import Sampler

_SLACK_S = 30.0
_WARMUP_S = 0.5
_BURST = 1_000
_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class BareLoop:
    """The bare library's rate in a loop, and the broker's CPU in microseconds per message."""

    figures: LoopFigures
    broker_us: float | None


@dataclass(frozen=True, slots=True)
class ContenderHop:
    """One contender's hop. If we do not run the broker's processes, `broker_us` is None and there is no `bare`."""

    contender: str
    delivery: str
    offered_hz: float
    figures: HopFigures
    broker_us: float | None
    bare: BareLoop | None

    @property
    def bound(self) -> str:
        """Say what saturates first."""
        return what_binds(self.bare.figures.client_us, self.bare.broker_us) if self.bare else what_binds(None, None)

    @property
    def problems(self) -> list[str]:
        """Why the figures are unusable."""
        return problems(self.figures, self.offered_hz)


def as_json(hop: ContenderHop) -> dict[str, object]:
    """The output of `fanbench hop --json` for a contender."""
    found: dict[str, object] = {"contender": hop.contender, "delivery": hop.delivery, "offered_hz": hop.offered_hz}
    found |= hop.figures.model_dump(exclude={"version"}) | {"broker_us": hop.broker_us, "bare": None}
    if hop.bare is not None:
        found["bare"] = hop.bare.figures.model_dump(exclude={"version"}) | {"broker_us": hop.bare.broker_us}
    return found | {"bound": hop.bound, "problems": hop.problems}


def measure_contender(contender: Contender, scenario: Scenario, folder: Path) -> ContenderHop:
    """One contender's hop: through its adapter at the scenario's rate, then its bare library in a loop.

    Raises:
        FanbenchError: the broker or a worker did not finish.
    """
    with contender.launched(folder) as broker:
        paced = HopPlan(
            url=broker.url,
            delivery=contender.delivery,
            rate_hz=scenario.rate_hz,
            duration_s=scenario.duration_s,
            warmup_s=_WARMUP_S,
            payload_bytes=scenario.payload_bytes,
        )
        figures, used_s = _worker(contender, broker, "paced_worker", paced, HopFigures, scenario.duration_s)
        bare = None
        if broker.running is not None:  # otherwise its CPU is not visible, and what the loop creates stays there
            bare = _loop(contender, broker, scenario)
    broker_us = _each_us(used_s, figures.published) if broker.pids else None
    return ContenderHop(contender.name, contender.delivery, scenario.rate_hz, figures, broker_us, bare)


def _loop(contender: Contender, broker: Broker, scenario: Scenario) -> BareLoop:
    plan = LoopPlan(
        url=broker.url,
        delivery=contender.delivery,
        by="bare",
        messages=_BURST,
        in_flight=_IN_FLIGHT,
        seconds=scenario.duration_s,
        payload_bytes=scenario.payload_bytes,
    )
    figures, used_s = _worker(contender, broker, "loop_worker", plan, LoopFigures, scenario.duration_s)
    return BareLoop(figures, _each_us(used_s, figures.published) if broker.pids else None)


def _each_us(cpu_s: float, messages: int) -> float:
    return 1e6 * cpu_s / messages


def _worker(
    contender: Contender, broker: Broker, module: str, plan: Document, answer: type[D], duration_s: float
) -> tuple[D, float]:
    """Return a worker process's measurement, and the broker's CPU seconds during it."""
    sampler = Sampler(lambda: {"broker": broker.pids})
    sampler.start()
    try:
        done = subprocess.run(
            [*OWN_PYTHON, "-m", f"harness.hop.{module}"],
            input=encode(plan),
            capture_output=True,
            text=True,
            env=child_env({}),
            timeout=duration_s + _SLACK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FanbenchError(f"{contender.name}: not measured within {error.timeout:g} s; lower --rate") from error
    finally:
        used = sampler.stop().parts["broker"]
    if done.returncode:
        raise FanbenchError(f"{contender.name}: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return decode(answer, done.stdout, f"{contender.name}, {module}"), used.cpu_s


def what_binds(library_us: float | None, broker_us: float | None) -> str:
    """Which core is full first when the rate rises: the client process's or the broker's.

    A message costs the bare library, which publishes and receives it, `library_us` of CPU, and the broker `broker_us`;
    the larger one fills its core first.
    """
    if library_us is None or broker_us is None:
        return "not measured: the broker's processes are not ours"
    bound, most_us = ("client library", library_us) if library_us >= broker_us else ("broker", broker_us)
    return f"{bound}, at about {1e6 / most_us:,.0f} messages/s a core"


def problems(found: HopFigures, offered_hz: float) -> list[str]:
    """Why a hop's figures are unusable."""
    said = []
    if found.achieved_hz < MIN_ACHIEVED * offered_hz:
        said.append(
            f"achieved {found.achieved_hz:,.0f} of {offered_hz:,g} messages/s offered (limit "
            f"{MIN_ACHIEVED:.0%}): its latency is the client's own queue; lower --rate"
        )
    if found.lost >= found.messages:
        said.append(
            f"none of {found.messages:,} messages came: check that the receiver is subscribed at the broker that got the events"
        )
    elif found.lost:
        said.append(f"lost {found.lost:,} of {found.messages:,} messages; lower --rate")
    return said
