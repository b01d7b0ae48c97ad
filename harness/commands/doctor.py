"""`fanbench doctor`: what can run here, how to get the rest, what fits, and what will disturb."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brokers.contenders import all_contenders
from brokers.registry import registry
from harness.runner.host import busy_processes, describe_host, descriptor_limit, disturbances, local_ports, most_clients


def examine() -> dict[str, Any]:
    """Everything that doctor says, as one value."""
    contenders = [
        {
            "name": contender.name,
            "delivery": contender.delivery,
            "program": contender.program or "none (the harness floor)",
            "version": contender.program_version() if contender.runnable else "",
            "runnable": contender.runnable,
            "how": "" if contender.runnable else contender.install_hint,
        }
        for contender in all_contenders()
    ]
    found = registry()
    return {
        "contenders": contenders,
        "adapters": {adapter.name: list(adapter.schemes) for adapter in found.adapters()},
        "broken_plugins": found.broken,
        "not_installed": found.not_installed,
        "host": describe_host(),
        "descriptors": descriptor_limit(),
        "local_ports": local_ports(),
        "most_clients": {str(replicas): most_clients(replicas) for replicas in (1, 2)},
        "disturbances": disturbances(busy_processes()),
    }


def doctor_command(json_answer: bool) -> int:
    """The command. Exit code 1 if no broker program can run here or a plug-in is broken."""
    findings = examine()
    if json_answer:
        print(json.dumps(findings))
    else:
        _show(findings, Console())
    programs = any(row["runnable"] and row["name"] != "memory" for row in findings["contenders"])
    return 0 if programs and not findings["broken_plugins"] else 1


def _show(findings: dict[str, Any], console: Console) -> None:
    table = Table(title="contenders", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("contender", "delivery", "program", "here", "how to get it"):
        table.add_column(heading)
    for row in findings["contenders"]:
        here = f"[green]yes[/] {escape(row['version'])}" if row["runnable"] else "[red]no[/]"
        table.add_row(escape(row["name"]), row["delivery"], escape(row["program"]), here, escape(row["how"]))
    console.print(table)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say("")
    say("adapters: " + ", ".join(f"{name} ({' '.join(schemes)})" for name, schemes in findings["adapters"].items()))
    absent: dict[str, str] = findings["not_installed"]
    for how in dict.fromkeys(absent.values()):
        say(f"adapter of {' '.join(scheme for scheme, other in absent.items() if other == how)}: {how}")
    for name, reason in findings["broken_plugins"].items():
        say(f"broken plug-in {name}: {reason}")
    host = findings["host"]
    say(f"machine: {host['cpu']}, {host['memory']}, {host['system']}, Python {host['python']}")
    fit = findings["most_clients"]
    say(
        f"clients: {fit['1']:,} fit on 1 replica, {fit['2']:,} on 2 (a process may hold {findings['descriptors']:,} "
        f"descriptors, and {findings['local_ports']:,} ports to a replica)"
    )
    for disturbance in findings["disturbances"]:
        say(f"will disturb: {disturbance}")
    if not findings["disturbances"]:
        say("nothing seen that would disturb a measurement")
