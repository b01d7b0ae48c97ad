"""`fanbench compare`: interleaved rounds of every contender."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from brokers.anti_patterns import refuse_anti_pattern
from brokers.contender import Contender
from brokers.programs.catalogue import Launch
from core.contracts.manifest import Stopping
from core.scenario import Scenario
from harness.analysis.gate import BaselineGate, in_words
from harness.analysis.judgements import MARGIN
from harness.analysis.statistics import MIN_ROUNDS
from harness.report.comparison import anti_patterns_told, endpoints_told
from harness.report.transports import transport_tables
from harness.results.answer import run_json
from harness.results.run_record import Comparison, Run
from harness.runner.contenders import choose_contenders
from harness.runner.deployment import Deployment
from harness.runner.fitting import fitting
from harness.runner.host import require_descriptors
from harness.schedule.jobs import run_jobs, start_results
from harness.schedule.retry_queue import REPEATS, SPARE_ROUNDS, Job
from harness.schedule.rounds import distinct_names, shuffled_rounds
from harness.schedule.session_runs import resume_jobs
from harness.schedule.stopping import WITHIN_S, UntilSettled, planned_rounds
from harness.schedule.transports import cut_jobs


@dataclass(frozen=True, slots=True)
class Precision:
    """How long a comparison may continue, and within what factor figures are equivalent."""

    within_s: float = WITHIN_S
    margin: float = MARGIN


USUAL = Precision()


def plan(
    contenders: Sequence[Contender],
    scenario: Scenario,
    transports: Sequence[str] = ("sse",),
    deployment: Deployment | None = None,
) -> list[Job]:
    """Make a job for each contender and transport in every round, in shuffled order.

    A contender may be compared with itself. With several transports, one more run for each shows the effect of losing
    all connections. With sessions, a replica is then killed under each contender.
    """
    names = distinct_names([contender.name for contender in contenders])
    named = [replace(contender, name=name) for contender, name in zip(contenders, names, strict=True)]
    pairs = [(contender, transport) for contender in named for transport in transports]
    jobs = []
    for slot in shuffled_rounds(len(pairs), scenario.rounds, scenario.seed):
        contender, transport = pairs[slot.place]
        label = f"round {slot.round} {contender.file_name}" + (f" {transport}" if len(transports) > 1 else "")
        jobs.append(Job(contender, scenario, slot.round, label, transport, deployment=deployment))
    jobs += cut_jobs(named, transports, scenario) if len(transports) > 1 else []
    return jobs + resume_jobs(named, scenario, deployment)


def _line(run: Run) -> str:
    cut = f" through {run.scenario.faults[0].kind}" if run.scenario.faults else ""
    over = f" over {run.transport}" if run.transport != "sse" else ""
    head = f"  round {run.round} {escape(run.contender)}{over}{cut}: "
    refused = f" [red]refused[/]: {escape(run.problems[0])}" if run.problems else ""
    if not run.delivered:
        return head + (refused or "nothing delivered")
    latency = run.histograms["latency"]
    figures = (
        f"{run.delivered:,} delivered, {run.lost:,} lost, "
        f"p50 {latency.percentile_ms(50):.1f} ms, p99 {latency.percentile_ms(99):.1f} ms"
    )
    return head + figures + refused


def compare_command(
    names: Sequence[str],
    every: bool,
    scenario: Scenario,
    out: Path,
    json_answer: bool,
    gated: tuple[Path, str] | None = None,
    repeats: int = REPEATS,
    transports: Sequence[str] = ("sse",),
    launch: Launch = "auto",
    precision: Precision = USUAL,
    deployment: Deployment | None = None,
    endpoints: Sequence[str] = (),
) -> int:
    """The command: compare, write the report, print the table. Returns the exit code.

    `repeats` is how often a run that the machine disturbed is repeated; `gated` is a baseline directory and rules such
    as `p99_ms>+15%`. It is 1 if a contender has fewer valid rounds than wanted, the comparison was interrupted, or the
    gate failed. Without `names`, two contenders with all their rounds are enough, because nobody asked for a particular
    one.
    """
    contenders = choose_contenders(
        names, every, launch, deployment=deployment, transports=transports, endpoints=endpoints
    )
    for contender in contenders if "ws" in transports else ():
        refuse_anti_pattern(contender, "WebSocket")
    contenders, left_out = fitting(contenders, scenario, transports, named=bool(names))
    for contender in contenders:
        if contender.endpoint is not None:
            contender.endpoint.require_usable(scenario)

    from harness.report.page import (  # matplotlib takes half a second to import
        terminal_grid,
        terminal_table,
        write_report,
    )

    scenario, until = _rounds(scenario, len(contenders) * len(transports), precision)
    distinct = distinct_names([contender.name for contender in contenders])
    gate = BaselineGate.open(*gated, scenario, distinct, transports) if gated else None
    console = Console(stderr=json_answer)
    jobs = plan(contenders, scenario, transports, deployment)
    console.print(_announcement(contenders, scenario, transports, jobs, precision, until), highlight=False)
    for sentence in left_out:
        console.print(f"  {sentence}", highlight=False, markup=False)
    if deployment is None:
        require_descriptors(scenario)
    stopping = until.stopping if until else Stopping(margin=precision.margin)
    outcome = run_jobs(
        jobs,
        start_results(out, scenario.name, scenario, contenders, stopping),
        console,
        _line,
        repeats,
        0 if until else SPARE_ROUNDS,
        until,
    )
    report = write_report(outcome.folder, outcome.comparison)
    comparison = report.comparison
    console.print(terminal_table(comparison))
    for table in transport_tables(comparison):
        console.print(terminal_grid(table))
    for sentence in comparison.verdict:
        console.print(sentence, highlight=False, markup=False)
    for sentence in (*anti_patterns_told(comparison), *endpoints_told(comparison)):
        console.print(sentence, highlight=False, markup=False)
    console.print(f"report: {report.page}", highlight=False, markup=False, soft_wrap=True)
    findings = gate.check(comparison) if gate else []
    if gate:
        console.print(in_words(findings), highlight=False, markup=False)
    if json_answer:
        answer = {"folder": str(outcome.folder), "report": str(report.page), "complete": comparison.complete}
        answer |= {"runs": [run_json(run) for run in comparison.runs], "gate": [asdict(found) for found in findings]}
        print(json.dumps(answer))
    held = comparison.complete and rounds_held(comparison, named=bool(names)) and not any(f.failed for f in findings)
    return 0 if held else 1


def _rounds(scenario: Scenario, runs: int, precision: Precision) -> tuple[Scenario, UntilSettled | None]:
    """The scenario with a number of rounds, and what ends them earlier; None if the number was given."""
    if scenario.rounds:
        return scenario, None
    planned = planned_rounds(scenario.run_s * runs, precision.within_s)
    return scenario.with_fields(rounds=planned), UntilSettled(planned, precision.within_s, precision.margin)


def _announcement(
    contenders: Sequence[Contender],
    scenario: Scenario,
    transports: Sequence[str],
    jobs: Sequence[Job],
    precision: Precision,
    until: UntilSettled | None,
) -> str:
    further = [job for job in jobs if job.scenario.faults != scenario.faults]
    further_s = sum(job.scenario.broken_run_s(*job.scenario.faults) for job in further)
    ranked_s = scenario.run_s * (len(jobs) - len(further))
    rounds = f"{scenario.rounds} rounds"
    if until:
        rounds = f"rounds until all pairs are settled, at least {MIN_ROUNDS},"
        ranked_s = max(precision.within_s, ranked_s * MIN_ROUNDS / scenario.rounds)
    about = f"about {max(1, round((ranked_s + further_s) / 60))} min"
    over = f" over {' and '.join(transports)}" if len(transports) > 1 else ""
    # A run of sessions that is not much longer than they are has fewer, because each of them ends within it.
    live = " once sessions begin and end at the same rate" if scenario.sessions else ""
    return (
        f"[bold]{escape(scenario.name)}[/]: {scenario.clients} clients on {scenario.replicas} replicas, "
        f"{scenario.rate_hz:g} events/s{live}, {rounds} of {len(contenders)} contenders "
        f"({escape(', '.join(c.name for c in contenders))}){over}, {about}"
    )


def rounds_held(comparison: Comparison, *, named: bool) -> bool:
    """Whether each contender has the wanted number of valid rounds.

    If not `named`, whether two have it, or the only one. The wanted number of rounds is the given number. Without it, rounds
    continue until all is settled, and the minimum for a verdict is enough: *not settled* is an answer. Extra runs with
    a fault, such as a cut of every connection, count once for each contender and transport.
    """
    valid: dict[tuple[str, str, bool], set[int]] = {}
    for run in comparison.runs:
        extra = run.scenario.faults != comparison.scenario.faults
        valid.setdefault((run.contender, run.transport, extra), set()).update({run.round} if run.valid else ())
    wanted = min(MIN_ROUNDS, comparison.rounds) if comparison.stopping.looks else comparison.scenario.rounds
    held = [len(rounds) >= (1 if extra else wanted) for (_, _, extra), rounds in valid.items()]
    return sum(held) >= (len(held) if named else min(2, len(held))) and any(held)
