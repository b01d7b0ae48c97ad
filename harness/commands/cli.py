"""The command line `fanbench`.

Each command imports what it needs when it runs, after checking the scenario: `--help` must be instant, and refusals quick.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UsageError
from core.paths import absolute_path
from harness.commands.endings import exit_code_of
from harness.commands.interrupts import end_as_ctrl_c_does
from harness.commands.options import (
    AsJson,
    Axis,
    Break,
    Clients,
    ClientsAt,
    Contenders,
    Deploy,
    Duration,
    Endpoints,
    GeneratorProcesses,
    GeneratorsAt,
    GeneratorsExpected,
    LaunchedBy,
    LoadProcesses,
    MasterAt,
    Mend,
    Out,
    PayloadBytes,
    Rate,
    Replicas,
    ReplicasAt,
    Rounds,
    RunName,
    ScenarioName,
    Seed,
    Topics,
    Warmup,
    WorkersExpected,
    require_endpoints_here,
    scenario_from,
)
from harness.commands.result_commands import bundle, choose, export, report, site, verify

app = typer.Typer(
    name="fanbench",
    help="Which message broker should sit between your services and your SSE replicas, and does it matter at your scale?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from core.build import installed_version, source_commit

        print(f"fanbench {installed_version()} (commit {source_commit()})")
        raise typer.Exit


@app.callback()
def _fanbench(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="print the version and the commit of the source", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Which message broker should sit between your services and your SSE replicas, and does it matter at your scale?"""


@app.command()
def compare(
    contenders: Contenders = None,
    scenario: ScenarioName = "broadcast",
    clients: Clients = None,
    rate: Rate = None,
    replicas: Replicas = None,
    topics: Topics = None,
    payload_bytes: PayloadBytes = None,
    duration: Duration = None,
    warmup: Warmup = None,
    rounds: Rounds = None,
    seed: Seed = None,
    load_processes: LoadProcesses = None,
    generator_processes: GeneratorProcesses = None,
    out: Out = Path("results"),
    every: Annotated[
        bool, typer.Option("--all", help="every contender that can run here, not just one per program")
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(help="an earlier result directory to compare with", show_default=False, parser=absolute_path),
    ] = None,
    fail_if: Annotated[
        str, typer.Option(help="with --baseline: exit code 1 if a figure changed significantly and by more than this")
    ] = "p99_ms>+15%",
    transport: Annotated[str, typer.Option(help="how clients connect: sse, ws, or both, as sse,ws")] = "sse",
    repeats: Annotated[int, typer.Option(min=0, help="how often to repeat a run that the machine disturbed")] = 3,
    within: Annotated[
        float,
        typer.Option(
            min=10,
            help="without --rounds: start no round that would not end within these seconds; 5 rounds run in any case",
        ),
    ] = 360.0,
    margin: Annotated[
        float, typer.Option(min=1.01, max=10, help="figures whose ratio is within this factor are equivalent")
    ] = 1.25,
    launch: LaunchedBy = "auto",
    replicas_at: ReplicasAt = "",
    clients_at: ClientsAt = "",
    workers_expected: WorkersExpected = None,
    master_at: MasterAt = "",
    generators_expected: GeneratorsExpected = None,
    generators_at: GeneratorsAt = "",
    run_name: RunName = "",
    deploy: Deploy = "",
    endpoint: Endpoints = None,
    json_answer: AsJson = False,
) -> None:
    """Compare contenders with each other: the main job.

    Without --rounds it continues until every pair is settled, or --within has passed; five rounds run in any case. Without names it takes the harness floor `memory` and the first contender of each program found here.
    """
    workload = scenario_from(
        scenario,
        topics,
        clients=clients,
        rate_hz=rate,
        replicas=replicas,
        payload_bytes=payload_bytes,
        duration_s=duration,
        warmup_s=warmup,
        rounds=rounds,
        seed=seed,
        load_processes=load_processes,
        generator_processes=generator_processes,
    )

    from harness.commands.compare import Precision, compare_command
    from harness.runner.deployment import parse_deployment
    from harness.schedule.transports import parse_transports

    deployment = parse_deployment(
        replicas_at,
        clients_at,
        workers_expected,
        master_at,
        run_name,
        deploy,
        "",
        "",
        generators_expected,
        generators_at,
    )
    if deployment is not None:
        workload = deployment.workload(workload, replicas)

    gate = None if baseline is None else (baseline, fail_if)
    over = parse_transports(transport)
    precision = Precision(within, margin)
    services = require_endpoints_here(endpoint or [], replicas_at, over)
    raise typer.Exit(
        compare_command(
            contenders or [],
            every,
            workload,
            out,
            json_answer,
            gate,
            repeats,
            over,
            launch,
            precision,
            deployment,
            services,
        )
    )


@app.command()
def capacity(
    contender: Annotated[
        str | None, typer.Argument(help="a name that `fanbench doctor` lists, or a broker's URL", show_default=False)
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="the floor and the first contender of each program, one after the other")
    ] = False,
    slo: Annotated[
        str, typer.Option(help="the objective: p50 p90 p99 p999 max in ms or s, lost")
    ] = "p99<100ms, lost=0",
    vary: Annotated[Axis, typer.Option(help="what to raise until the objective breaks")] = "clients",
    scenario: ScenarioName = "broadcast",
    clients: Clients = None,
    load_processes: LoadProcesses = None,
    generator_processes: GeneratorProcesses = None,
    rate: Rate = None,
    replicas: Replicas = None,
    topics: Topics = None,
    payload_bytes: PayloadBytes = None,
    duration: Duration = 4.0,
    warmup: Warmup = 1.0,
    within: Annotated[
        float, typer.Option(min=10, help="seconds that each search may take; fewer make the answer coarser")
    ] = 240.0,
    out: Out = Path("results"),
    launch: LaunchedBy = "auto",
    replicas_at: ReplicasAt = "",
    clients_at: ClientsAt = "",
    workers_expected: WorkersExpected = None,
    master_at: MasterAt = "",
    generators_expected: GeneratorsExpected = None,
    generators_at: GeneratorsAt = "",
    run_name: RunName = "",
    deploy: Deploy = "",
    json_answer: AsJson = False,
) -> None:
    """Find the largest load that a contender can carry, confirmed in separate runs; with --all for each program, in one chart.

    The search starts at --clients or --rate if it varies them, otherwise at one replica or topic.
    """
    workload = scenario_from(
        scenario,
        topics,
        clients=clients,
        rate_hz=rate,
        replicas=replicas,
        payload_bytes=payload_bytes,
        duration_s=duration,
        warmup_s=warmup,
        load_processes=load_processes,
        generator_processes=generator_processes,
    )

    if every == (contender is not None):
        raise UsageError(
            f"capacity {contender or ''}: give either a contender or --all, for instance: fanbench capacity valkey"
        )

    from harness.analysis.slo import Slo
    from harness.commands.capacity import capacity_command
    from harness.runner.deployment import parse_deployment

    deployment = parse_deployment(
        replicas_at,
        clients_at,
        workers_expected,
        master_at,
        run_name,
        deploy,
        "",
        "",
        generators_expected,
        generators_at,
    )
    if deployment is not None:
        workload = deployment.workload(workload, replicas)

    raise typer.Exit(
        capacity_command(contender, vary, Slo.parse(slo), workload, out, json_answer, within, launch, deployment)
    )


@app.command()
def faults(
    contenders: Contenders = None,
    fault: Annotated[list[str] | None, typer.Option(help="a fault of docs/faults.md, repeatable; default: all")] = None,
    clusters: Annotated[
        bool, typer.Option("--clusters", help="take every cluster that can run here through the faults of its nodes")
    ] = False,
    at: Annotated[float, typer.Option(help="seconds into the measured phase at which the fault begins")] = 2.0,
    lasting: Annotated[
        float | None,
        typer.Option("--for", help="seconds until it is undone; default: depends on the fault", show_default=False),
    ] = None,
    delay_ms: Annotated[float, typer.Option(help="delay of link-delay, in each direction")] = 50.0,
    share: Annotated[
        float | None,
        typer.Option(help="share of the clients, for faults of clients", min=0.001, max=1, show_default=False),
    ] = None,
    clients: Clients = None,
    rate: Rate = None,
    replicas: Replicas = None,
    topics: Topics = None,
    payload_bytes: PayloadBytes = None,
    duration: Duration = None,
    warmup: Warmup = None,
    rounds: Rounds = None,
    seed: Seed = None,
    lanes: Annotated[
        int | None,
        typer.Option(
            help="runs side by side, for faults of nodes; default: 2, on one core 1", min=1, show_default=False
        ),
    ] = None,
    load_processes: LoadProcesses = None,
    generator_processes: GeneratorProcesses = None,
    out: Out = Path("results"),
    launch: LaunchedBy = "auto",
    replicas_at: ReplicasAt = "",
    clients_at: ClientsAt = "",
    workers_expected: WorkersExpected = None,
    master_at: MasterAt = "",
    generators_expected: GeneratorsExpected = None,
    generators_at: GeneratorsAt = "",
    run_name: RunName = "",
    deploy: Deploy = "",
    breaking: Break = "",
    mending: Mend = "",
    json_answer: AsJson = False,
) -> None:
    """Break brokers, links, replicas and clients, and report from the clients' side what was lost and how long they heard nothing."""
    workload = scenario_from(
        "faults",
        topics,
        clients=clients,
        rate_hz=rate,
        replicas=replicas,
        payload_bytes=payload_bytes,
        duration_s=duration,
        warmup_s=warmup,
        rounds=rounds,
        seed=seed,
        load_processes=load_processes,
        generator_processes=generator_processes,
    )

    from harness.commands.faults import choose_faults, faults_command
    from harness.runner.contenders import choose_contenders
    from harness.runner.deployment import parse_deployment

    deployment = parse_deployment(
        replicas_at,
        clients_at,
        workers_expected,
        master_at,
        run_name,
        deploy,
        breaking,
        mending,
        generators_expected,
        generators_at,
    )
    if deployment is not None:
        workload = deployment.workload(workload, replicas)

    found = choose_contenders(contenders or [], every=False, launch=launch, clusters=clusters, deployment=deployment)
    chosen = choose_faults(fault or [], at, lasting, share, delay_ms, found, deployment)
    raise typer.Exit(
        faults_command(found, chosen, workload, out, json_answer, deployment, lanes, named=bool(contenders))
    )


@app.command()
def hop(
    contenders: Contenders = None,
    rate: Rate = 1000.0,
    topics: Topics = None,
    payload_bytes: PayloadBytes = None,
    duration: Duration = 4.0,
    generator_processes: GeneratorProcesses = None,
    launch: LaunchedBy = "auto",
    replicas_at: ReplicasAt = "",
    generators_expected: GeneratorsExpected = None,
    generators_at: GeneratorsAt = "",
    run_name: RunName = "",
    deploy: Deploy = "",
    json_answer: AsJson = False,
) -> None:
    """Measure generator to consumer without SSE, and say which saturates first: the broker or its client library.

    With --replicas-at the consumers are those replicas, and the generator may have several processes or run elsewhere.
    """
    workload = scenario_from(
        "broadcast",
        topics,
        rate_hz=rate,
        payload_bytes=payload_bytes,
        duration_s=duration,
        generator_processes=generator_processes,
    )

    from harness.commands.hop import hop_command, require_its_options
    from harness.runner.deployment import parse_deployment

    deployment = parse_deployment(
        replicas_at, "", None, "", run_name, deploy, "", "", generators_expected, generators_at
    )
    require_its_options(deployment, topics, generator_processes)
    if deployment is not None:
        workload = deployment.workload(workload)

    raise typer.Exit(hop_command(contenders or [], workload, json_answer, launch, deployment))


@app.command()
def doctor(json_answer: AsJson = False) -> None:
    """Report what can run here, how to install the rest, how many clients fit, and what would disturb a measurement."""
    from harness.commands.doctor import doctor_command

    raise typer.Exit(doctor_command(json_answer))


@app.command()
def conformance(
    adapter: Annotated[str, typer.Argument(help="a name that `fanbench doctor` lists, or a broker's URL")],
    launch: LaunchedBy = "auto",
    json_answer: AsJson = False,
) -> None:
    """Prove an adapter, built-in or your own, on the real program: one line for each promise."""
    from harness.commands.conformance import conformance_command

    raise typer.Exit(conformance_command(adapter, json_answer, launch))


for command in (report, export, bundle, verify, site, choose):
    app.command()(command)


@app.command("size")
def size_of(
    clients: Annotated[int, typer.Option(min=1, max=10**12, help="SSE connections in all")],
    rate: Annotated[float, typer.Option(min=0.0001, max=10**9, help="events per second at each client")],
    replicas: Annotated[int, typer.Option(min=0, max=10**12, help="replicas; 0: as many as needed")] = 0,
    workers: Annotated[int, typer.Option(min=0, max=10**12, help="processes of the load; 0: as many as needed")] = 0,
    topics: Annotated[int, typer.Option(min=1, max=10**12, help="number of topics; each client listens to one")] = 1,
    payload_bytes: Annotated[int, typer.Option(min=1, max=10**9, help="size of an event")] = 200,
    descriptors: Annotated[
        int, typer.Option(min=200, max=10**9, help="open files that a process may have (ulimit -n)")
    ] = 1_048_576,
    source_addresses: Annotated[int, typer.Option(min=1, max=10**6, help="addresses of a worker's host")] = 1,
    workers_per_host: Annotated[int, typer.Option(min=1, max=10**6, help="processes of the load on one host")] = 1,
    link_gbit: Annotated[float, typer.Option(min=0.001, help="Gbit/s of a host's link")] = 10.0,
    units: Annotated[
        Path | None,
        typer.Option(help="costs per unit of your own machine (TOML)", show_default=False, parser=absolute_path),
    ] = None,
    json_answer: AsJson = False,
) -> None:
    """Say how many replicas, workers, descriptors, ports and Gbit/s a load needs, and which limit it reaches first."""
    from harness.commands.size import size_command
    from harness.size.plan import HostLimits, WantedLoad

    wanted = WantedLoad(clients, rate, replicas, workers, topics, payload_bytes)
    host = HostLimits(
        descriptors=descriptors,
        source_addresses=source_addresses,
        workers_per_host=workers_per_host,
        link_gbit=link_gbit,
    )
    raise typer.Exit(size_command(wanted, host, units, json_answer))


@app.command()
def demo(
    contender: Annotated[str, typer.Argument(help="a name that `fanbench doctor` lists, or a broker's URL")] = "valkey",
    replicas: Replicas = 2,
    rate: Rate = 2.0,
    topics: Topics = "events",
    port: Annotated[int, typer.Option(help="port of the proxy, or of the first replica without a proxy")] = 8000,
    launch: LaunchedBy = "auto",
) -> None:
    """Run broker, replicas and generator, and print the address to open; Ctrl-C stops it."""
    workload = scenario_from("smoke", topics, replicas=replicas, rate_hz=rate)

    from harness.commands.demo import demo_command

    raise typer.Exit(demo_command(contender, workload, port, launch))


def main() -> None:
    """Run the command line: exit code 0 done, 1 a check or a program failed, 2 bad usage."""
    end_as_ctrl_c_does()
    sys.exit(exit_code_of(partial(app, standalone_mode=False)))


if __name__ == "__main__":
    main()
