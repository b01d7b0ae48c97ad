"""`fanbench doctor`: what can run here, how to install the rest, what fits, and what would disturb a measurement."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brokers.anti_patterns import ANTI_PATTERNS
from brokers.contender import Contender
from brokers.contenders import all_contenders, cluster_contenders
from brokers.programs.catalogue import CLUSTERS
from brokers.programs.namespaces import why_not
from brokers.registry import registry
from core.fault import KINDS, WHAT
from harness.runner.host import (
    busy_processes,
    describe_host,
    descriptor_limit,
    disturbances,
    local_ports,
    most_clients,
    most_load_processes,
)


@dataclass(frozen=True, slots=True)
class ContenderHere:
    """A contender, and whether it can run here.

    `how` says how to install what is missing. For a cluster that can run here it says what it needs, for an
    anti-pattern what is wrong with it.
    """

    name: str
    delivery: str
    program: str
    version: str
    runnable: bool
    how: str


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that doctor reports, with the names of `--json`."""

    contenders: list[ContenderHere]
    clusters: list[ContenderHere]
    anti_patterns: list[ContenderHere]
    adapters: dict[str, list[str]]
    """The schemes that each adapter serves, by name."""
    broken_plugins: dict[str, str]
    not_installed: dict[str, str]
    host: dict[str, str]
    descriptors: int
    local_ports: int
    most_clients: dict[str, int]
    """Clients that fit, by number of replicas, with one Locust process for each usable core."""
    load_processes: int
    disturbances: list[str]
    no_cuts: str | None
    """Why links between a cluster's nodes cannot be cut here, and what to do; None if they can."""


def examine() -> Examination:
    """Examine this machine."""
    found = registry()
    return Examination(
        contenders=[_here(contender) for contender in all_contenders()],
        clusters=[_here(contender) for contender in cluster_contenders()],
        anti_patterns=[_here(contender) for contender in ANTI_PATTERNS],
        adapters={adapter.name: list(adapter.schemes) for adapter in found.adapters()},
        broken_plugins=found.broken,
        not_installed=found.not_installed,
        host=describe_host(),
        descriptors=descriptor_limit(),
        local_ports=local_ports(),
        most_clients={str(replicas): most_clients(replicas, most_load_processes()) for replicas in (1, 2)},
        load_processes=most_load_processes(),
        disturbances=disturbances(busy_processes()),
        no_cuts=why_not(),
    )


def _here(contender: Contender) -> ContenderHere:
    takes = f"{CLUSTERS[contender.program].memory_mb} MB" if contender.program in CLUSTERS else contender.anti_pattern
    return ContenderHere(
        name=contender.name,
        delivery=contender.delivery,
        program=contender.program or "none (the harness floor)",
        version=contender.program_version() if contender.runnable else "",
        runnable=contender.runnable,
        how=takes if contender.runnable else contender.install_hint,
    )


def doctor_command(json_answer: bool) -> int:
    """The command. Exit code 1 if no broker program can run here or a plug-in is broken."""
    found = examine()
    if json_answer:
        print(json.dumps(asdict(found)))
    else:
        _show(found, Console())
    programs = any(one.runnable and one.name != "memory" for one in found.contenders)
    return 0 if programs and not found.broken_plugins else 1


def _show(found: Examination, console: Console) -> None:
    for title, last, rows in (
        ("contenders", "how to get it", found.contenders),
        ("clusters of three nodes, for `fanbench faults --clusters`", "memory", found.clusters),
        ("anti-patterns, which take part only if you name them", "what is wrong with it", found.anti_patterns),
    ):
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for heading in ("contender", "delivery", "program", "here", last):
            table.add_column(heading)
        for one in rows:
            here = f"[green]yes[/] {escape(one.version)}" if one.runnable else "[red]no[/]"
            table.add_row(escape(one.name), one.delivery, escape(one.program), here, escape(one.how))
        console.print(table)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say("")
    cuts = " and ".join(kind for kind in KINDS if WHAT[kind].of_links)
    say(f"links between nodes, for {cuts}: {f'cannot be cut: {found.no_cuts}' if found.no_cuts else 'can be cut here'}")
    say("adapters: " + ", ".join(f"{name} ({' '.join(schemes)})" for name, schemes in found.adapters.items()))
    for how in dict.fromkeys(found.not_installed.values()):
        say(f"adapter of {' '.join(scheme for scheme, other in found.not_installed.items() if other == how)}: {how}")
    for name, reason in found.broken_plugins.items():
        say(f"broken plug-in {name}: {reason}")
    host = found.host
    say(
        f"machine: {host['cpu']}, {host['cores']} cores usable, {host['memory']}, {host['system']}, Python {host['python']}"
    )
    fit = found.most_clients
    say(
        f"clients: {fit['1']:,} fit on 1 replica, {fit['2']:,} on 2, with up to {found.load_processes} Locust processes "
        f"(each process may use {found.descriptors:,} descriptors, and {found.local_ports:,} ports to a replica)"
    )
    for disturbance in found.disturbances:
        say(f"would disturb a measurement: {disturbance}")
    if not found.disturbances:
        say("found nothing that would disturb a measurement")
