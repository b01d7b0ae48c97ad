"""`python -m benchmarks.many`: how many clients this machine holds, on simulated hosts (benchmarks/hosts.py); needs root.

First `--idle` clients connect and stay for `--hold` seconds without an event. Then `--clients` receive `--rate` events per second each, in a
whole run of `fanbench compare`'s own machinery, which checks itself; if it is refused, fewer clients follow (`--clients 50000,40000`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.footprint import Footprint
from benchmarks.held import EventsHeld, IdleHeld
from benchmarks.hosts import Hosts
from brokers.contenders import find_contender
from core.errors import FanbenchError, UsageError
from core.paths import absolute_path
from core.scenario import Scenario
from harness.results.run_record import LATENCY, Run
from harness.runner.connecting import told_what_is_missing
from harness.runner.host import own_version, raise_descriptor_limit
from harness.runner.polling import poll_growth
from harness.runner.processes import start_load
from harness.runner.run import Patience, failed_run, run_once
from harness.runner.set_up_elsewhere import wait_for_workers

Say = Callable[[str], None]
EACH = 17_000
"""Clients of a replica and of a load worker, unless given: a process may often have no more than 20,000 descriptors."""
ROOM = 200
"""How many more clients than its share a replica admits."""
GROWS_S = 60.0
KB, MB = 1_000, 1_000_000
PATIENCE = Patience(connect_s=GROWS_S, probe_s=90.0, report_s=60.0, end_s=60.0)


@dataclass(slots=True)
class _Phases:
    """Looks at the hosts when measuring begins and when it ends, as the run announces."""

    hosts: Hosts
    say: Say
    looks: list[Footprint] = field(default_factory=list)

    def announce(self, words: str) -> None:
        self.say(words)
        if words in ("measuring", "draining"):
            self.looks.append(Footprint.of(self.hosts))


def idle(hosts: Hosts, clients: int, connect_hz: float, hold_s: float, folder: Path, say: Say) -> IdleHeld:
    """Connect the clients, wait until the replicas count all, and watch them.

    Raises:
        FanbenchError: the number of clients stopped growing, or a program ended.
    """
    folder.mkdir()
    deployment = hosts.deployment
    scenario = Scenario(name="idle", clients=clients, connect_hz=connect_hz, replicas=len(hosts.urls))
    bound = ["--master-bind-host", deployment.master_host, "--master-bind-port", str(deployment.master_port)]
    master = ["--master", "--expect-workers", str(deployment.workers), *bound]
    load = start_load(scenario, deployment.clients_at, folder, master=master)
    try:
        wait_for_workers(load, deployment)
        say(f"{clients:,} idle clients: connecting")
        before = Footprint.of(hosts, memory=True)

        def connected() -> int:
            time.sleep(0.5)  # each answer costs a replica a millisecond that connects need
            count = sum(stats.clients for stats in hosts.stats() if stats is not None)
            say(f"{clients:,} idle clients: {count:,} connected")
            return count

        alive = [load.child, *hosts.replicas]
        with told_what_is_missing(load, alive):
            poll_growth("clients connected", GROWS_S, connected, clients, alive)
        began, fewest = Footprint.of(hosts), clients
        while time.monotonic() < began.at_s + hold_s:
            fewest = min(fewest, connected())
        ended = Footprint.of(hosts, memory=True)
    finally:
        load.child.stop(GROWS_S)
    more = max(1, clients - before.clients)
    grown = {name: (size - before.memory_bytes[name]) / more / KB for name, size in ended.memory_bytes.items()}
    return IdleHeld(
        clients, fewest, ended.at_s - began.at_s, began.at_s - before.at_s,
        grown["replicas"], grown["workers"], (ended.kernel_bytes - before.kernel_bytes) / more / KB,
        {name: size / MB for name, size in ended.memory_bytes.items()}, ended.cores_since(began),
    )  # fmt: skip


def events(
    hosts: Hosts, clients: int, rate_hz: float, connect_hz: float, seconds: float, folder: Path, say: Say
) -> EventsHeld:
    """One run, judged by its own checks."""
    scenario = Scenario(
        name="many", clients=clients, rate_hz=rate_hz, replicas=len(hosts.urls), connect_hz=connect_hz, warmup_s=3, duration_s=seconds, drain_s=15
    )  # fmt: skip
    phases = _Phases(hosts, lambda words: say(f"{clients:,} clients x {rate_hz:g} events/s: {words}"))
    contender = find_contender(hosts.broker_url)
    try:
        run = run_once(
            contender, scenario, 1, folder, phases.announce, patience=PATIENCE, deployment=hosts.deployment
        )  # fmt: skip
    except UsageError:
        raise
    except FanbenchError as error:  # this is how too many clients end: fewer may be held
        run = failed_run(contender, scenario, 1, error)
    return _held(run, phases.looks)


def _held(run: Run, looks: Sequence[Footprint]) -> EventsHeld:
    latency = run.histograms.get(LATENCY)
    both = len(looks) == 2
    return EventsHeld(
        run.scenario.clients, run.scenario.rate_hz, run.problems, run.expected, run.delivered,
        [look.clients for look in looks], looks[1].delivered - looks[0].delivered if both else 0,
        latency.percentile_ms(50) if latency else None, latency.percentile_ms(99) if latency else None,
        {part: usage.busiest_core for part, usage in run.usage.items()}, looks[1].cores_since(looks[0]) if both else {},
        run.figures.get("connecting_s"),
    )  # fmt: skip


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument("--idle", type=int, default=100_000, help="clients without events; 0: none")
    parser.add_argument(
        "--clients",
        type=_numbers,
        default=[50_000],
        help="clients with events, comma-separated: tried until a run is valid",
    )
    parser.add_argument("--rate", type=float, default=1.0, help="events per second at each client")
    parser.add_argument("--replicas", type=int, default=0, help=f"0: one for each {EACH:,} clients")
    parser.add_argument("--workers", type=int, default=0, help=f"load workers; 0: one for each {EACH:,} clients")
    parser.add_argument("--connect-hz", type=float, default=1_000.0, help="connections opened per second")
    parser.add_argument("--hold", type=float, default=30.0, help="seconds without events")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured seconds with events")
    parser.add_argument(
        "--logs", type=absolute_path, help="keep the programs' logs in this directory; default: removed at the end"
    )
    parser.add_argument("--json", type=absolute_path, help="write the results to this file")
    return parser.parse_args()  # fmt: skip


def main() -> int:
    """Exit code 0 if the idle clients were held and a run with events is valid, 1 if not, 2 if it cannot run here."""
    given, console = _parsed(), Console(width=160)
    raise_descriptor_limit()
    held: list[IdleHeld | EventsHeld] = []
    try:
        with tempfile.TemporaryDirectory(prefix="fanbench-many-") as name, console.status("starting") as status:
            for one in _measured(given, given.logs or Path(name), status.update):
                held.append(one)
                console.print(one.text(), highlight=False, markup=False)
    except FanbenchError as error:
        console.print(str(error), highlight=False, markup=False)
        return 2 if isinstance(error, UsageError) else 1
    finally:
        if given.json:
            found = {"fanbench": own_version(), "held": [asdict(one) for one in held]}
            given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    wanted = [one.good for one in held if isinstance(one, IdleHeld)] + [one.good for one in held[-1:]]
    return 0 if all(wanted) else 1


def _measured(given: argparse.Namespace, folder: Path, say: Say) -> Iterator[IdleHeld | EventsHeld]:
    if given.idle:
        with _hosts(given, given.idle, folder / "idle") as hosts:
            yield idle(hosts, given.idle, given.connect_hz, given.hold, folder / "idle" / "run", say)
    for clients in given.clients:
        home = folder / f"events-{clients}"
        with _hosts(given, clients, home) as hosts:
            one = events(hosts, clients, given.rate, given.connect_hz, given.seconds, home / "run", say)
        yield one
        if one.good:
            return


def _hosts(given: argparse.Namespace, clients: int, folder: Path) -> Hosts:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"--logs {folder}: {error.strerror}; give a new directory") from error
    replicas, workers = (asked or -(-clients // EACH) for asked in (given.replicas, given.workers))
    return Hosts(replicas, workers, -(-clients // replicas) + ROOM, folder)


if __name__ == "__main__":
    sys.exit(main())
