"""`fanbench hop`: generator to consumer with no SSE, and whose CPU ends first: the broker's or its client library's."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.jobs import choose_contenders
from bench.procs import ROOT, child_env
from bench.resources import Sampler
from brokers.contenders import Contender
from brokers.programs.catalogue import Launch
from core.errors import FanbenchError
from core.scenario import Scenario

_SLACK_S = 30.0


def measure_contender(contender: Contender, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """One contender's hop at the scenario's rate, with CPU per message of client and broker in microseconds.

    Raises:
        FanbenchError: the broker or the worker did not come to an end.
    """
    with contender.launched(folder) as broker:
        plan = {
            "url": broker.url,
            "delivery": contender.delivery,
            "rate_hz": scenario.rate_hz,
            "duration_s": scenario.duration_s,
            "payload_bytes": scenario.payload_bytes,
        }
        sampler = Sampler(lambda: {"broker": broker.pids})
        sampler.start()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "bench.hop_worker"],
                input=json.dumps(plan),
                capture_output=True,
                text=True,
                cwd=ROOT,
                env=child_env({}),
                timeout=scenario.duration_s + _SLACK_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise FanbenchError(f"{contender.name}: the hop was not measured within {error.timeout:g} s") from error
        finally:
            used = sampler.stop().parts["broker"]
    if done.returncode:
        raise FanbenchError(f"{contender.name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    found: dict[str, Any] = {"contender": contender.name, "delivery": contender.delivery, **json.loads(done.stdout)}
    found["broker_us"] = 1e6 * used.cpu_s / found["published"] if broker.pids else None
    return found | {"bound": what_binds(found["client_us"], found["broker_us"])}


def what_binds(client_us: float, broker_us: float | None) -> str:
    """Which ends first when the rate rises: a core of the client process, or a core of the broker.

    A message costs the client `client_us` and the broker `broker_us` of CPU; the larger one fills its core first.
    """
    if broker_us is None:
        return "not measured: the broker is not ours"
    bound, most_us = ("client library", client_us) if client_us >= broker_us else ("broker", broker_us)
    return f"{bound}, at about {1e6 / most_us:,.0f} messages/s a core"


def hop_command(names: Sequence[str], scenario: Scenario, json_answer: bool, launch: Launch = "auto") -> int:
    """The command. Exit code 1 if a contender lost messages or failed."""
    contenders = [c for c in choose_contenders(names, every=not names, launch=launch) if not c.embedded]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (
        "contender",
        "p50 us",
        "p99 us",
        "lost",
        "client CPU us/message",
        "broker CPU us/message",
        "bound by",
    ):
        table.add_column(heading, justify="left" if heading in ("contender", "bound by") else "right")
    rows = []
    console = Console(stderr=True)
    for contender in contenders:
        with tempfile.TemporaryDirectory(prefix="fanbench-hop-") as folder:
            console.print(f"measuring {escape(contender.name)}", highlight=False)
            row = measure_contender(contender, scenario, Path(folder))
        rows.append(row)
        broker_us = "" if row["broker_us"] is None else f"{row['broker_us']:.0f}"
        figures = [
            f"{row['p50_us']:.0f}",
            f"{row['p99_us']:.0f}",
            f"{row['lost']}",
            f"{row['client_us']:.0f}",
            broker_us,
        ]
        table.add_row(escape(row["contender"]), *figures, row["bound"])
    if json_answer:
        print(json.dumps(rows))
    else:
        Console().print(table)
    return 1 if any(row["lost"] for row in rows) else 0
