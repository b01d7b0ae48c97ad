"""`fanbench hop`: generator to consumer with no SSE, and whose CPU ends first: the broker's or its client library's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brokers.contenders import Broker, Contender
from core.errors import FanbenchError
from core.process import OWN_PYTHON
from core.scenario import Scenario
from harness.runner.checks import MIN_ACHIEVED
from harness.runner.processes import child_env
from harness.runner.resources import Sampler

_SLACK_S = 30.0
_BURST = 1_000
_IN_FLIGHT = 64


def measure_contender(contender: Contender, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """One contender's hop: through its adapter at the scenario's rate, then its bare library in a loop.

    CPU is in microseconds per message: of the process that publishes and receives, and of the broker.

    Raises:
        FanbenchError: the broker or a worker did not come to an end.
    """
    with contender.launched(folder) as broker:
        plan: dict[str, object] = {
            "url": broker.url,
            "delivery": contender.delivery,
            "payload_bytes": scenario.payload_bytes,
        }
        paced = plan | {"rate_hz": scenario.rate_hz, "duration_s": scenario.duration_s}
        hop = _worker(contender, broker, "paced_worker", paced, scenario.duration_s)
        loop: dict[str, Any] = {}
        if (
            broker.running is not None
        ):  # of a broker that is not ours its CPU is not seen, and what the loop makes stays
            looped = plan | {"by": "bare", "messages": _BURST, "in_flight": _IN_FLIGHT, "seconds": scenario.duration_s}
            loop = _worker(contender, broker, "loop_worker", looped, scenario.duration_s)
    found = {"contender": contender.name, "delivery": contender.delivery, "offered_hz": scenario.rate_hz, **hop}
    found["bare"] = loop or None
    return found | {"bound": what_binds(loop.get("client_us"), loop.get("broker_us")), "problems": problems(found)}


def _worker(
    contender: Contender, broker: Broker, module: str, plan: Mapping[str, object], duration_s: float
) -> dict[str, Any]:
    """What a worker process measured, and the broker's CPU per message meanwhile."""
    sampler = Sampler(lambda: {"broker": broker.pids})
    sampler.start()
    try:
        done = subprocess.run(
            [*OWN_PYTHON, "-m", f"harness.hop.{module}"],
            input=json.dumps(plan),
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
        raise FanbenchError(f"{contender.name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"broker_us": 1e6 * used.cpu_s / found["published"] if broker.pids else None}


def what_binds(library_us: float | None, broker_us: float | None) -> str:
    """Which ends first when the rate rises: a core of the client process, or a core of the broker.

    A message costs the bare library, which publishes and receives it, `library_us` of CPU and the broker `broker_us`;
    the larger one fills its core first.
    """
    if library_us is None or broker_us is None:
        return "not measured: the broker's processes are not ours"
    bound, most_us = ("client library", library_us) if library_us >= broker_us else ("broker", broker_us)
    return f"{bound}, at about {1e6 / most_us:,.0f} messages/s a core"


def problems(found: Mapping[str, Any]) -> list[str]:
    """Why the figures of a hop are not to be used, in words."""
    said = []
    if found["achieved_hz"] < MIN_ACHIEVED * found["offered_hz"]:
        said.append(
            f"achieved {found['achieved_hz']:,.0f} of {found['offered_hz']:,g} messages/s offered (limit "
            f"{MIN_ACHIEVED:.0%}): its latency is the client's own queue; lower --rate"
        )
    if found["lost"]:
        said.append(f"lost {found['lost']:,} of {found['messages']:,} messages; lower --rate")
    return said
