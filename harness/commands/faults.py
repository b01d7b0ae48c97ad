"""`fanbench faults`: takes every contender through every fault, observed from the clients."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from brokers.contender import Contender
from core.cores import usable_cores
from core.errors import UsageError, nearest
from core.fault import KINDS, LANES, WHAT, Fault, FaultKind
from core.scenario import Scenario
from harness.analysis.fault_outcomes import outcomes
from harness.analysis.judgement_words import listed
from harness.results.answer import run_json
from harness.results.run_record import Run
from harness.runner.deployment import Deployment
from harness.runner.faults import impossible
from harness.runner.fitting import fitting
from harness.runner.host import require_descriptors
from harness.schedule.jobs import run_jobs, start_results
from harness.schedule.lanes import seconds, split
from harness.schedule.retry_queue import Job


def choose_faults(
    names: Sequence[str],
    at_s: float,
    for_s: float | None,
    share: float | None,
    delay_ms: float = 50.0,
    contenders: Sequence[Contender] = (),
    deployment: Deployment | None = None,
) -> list[Fault]:
    """The named faults, or all that apply to the contenders: those of nodes for clusters, the others for the rest.

    For a user's own deployment, those that are possible there.

    `share` is the share of the clients, for faults of clients.

    Raises:
        UsageError: there is no such fault, or the user's own commands would not be run.
    """
    for name in names:
        if name not in KINDS:
            raise UsageError(f"no fault '{name}'; {nearest(name, KINDS)}")
    if names and deployment is not None and deployment.breaking and "deployment-break" not in names:
        raise UsageError(
            f"--break and --fault {names[0]}: the command --break is the fault deployment-break, which was not named; add --fault "
            "deployment-break, or leave out --break and --mend"
        )
    clustered = {contender.clustered for contender in contenders} or {False}
    kinds: list[FaultKind] = [kind for kind in KINDS if (kind in names if names else WHAT[kind].of_nodes in clustered)]
    found = [Fault(kind=kind, at_s=at_s, for_s=for_s, share=share, delay_ms=delay_ms) for kind in kinds]
    if names:
        return found
    if deployment is None:
        return [fault for fault in found if not fault.of_deployment]
    return [fault for fault in found if fault.done_to_clients or (fault.of_deployment and deployment.breaking)]


def plan(
    contenders: Sequence[Contender], faults: Sequence[Fault], scenario: Scenario, deployment: Deployment | None = None
) -> list[Job]:
    """Make a job for each contender and each fault that applies to it, in every round, in shuffled order.

    Raises:
        UsageError: no fault applies to any of the contenders.
    """
    rng = random.Random(scenario.seed)
    jobs: list[Job] = []
    pairs = [(c, f) for c in contenders for f in faults if impossible(f, c, deployment) is None]
    if not pairs:
        raise UsageError(
            "; ".join(left_out(contenders, faults, deployment))
            + "; name another fault, or a contender that `fanbench doctor` lists"
        )
    for number in range(1, max(1, scenario.rounds) + 1):
        jobs += [
            Job(
                contender,
                scenario.with_fields(faults=(fault,)),
                number,
                f"round {number} {contender.file_name} {fault.kind}",
                deployment=deployment,
            )
            for contender, fault in rng.sample(pairs, len(pairs))
        ]
    return jobs


def lanes_for(jobs: Sequence[Job], wanted: int | None) -> int:
    """Return the number of lanes: `wanted`, or for faults of nodes alone LANES, but at most one lane per core.

    Raises:
        UsageError: the faults or this machine allow fewer than `wanted`.
    """
    cores = int(usable_cores())
    of_nodes = all(job.contender.clustered and all(fault.of_nodes for fault in job.scenario.faults) for job in jobs)
    if wanted is None:
        return max(1, min(LANES, cores)) if of_nodes else 1
    if wanted > 1 and not of_nodes:
        raise UsageError(
            f"--lanes {wanted}: only faults of nodes can be measured side by side, since the others are also judged by latency, "
            "which a second run would change; leave --lanes out"
        )
    if wanted > max(1, cores):
        raise UsageError(
            f"--lanes {wanted}: this machine has {cores} cores, and each lane needs one; give {cores} at most"
        )
    return wanted


def left_out(
    contenders: Sequence[Contender], faults: Sequence[Fault], deployment: Deployment | None = None
) -> list[str]:
    """Return which faults do not apply to which contenders, and why: one sentence for each reason."""
    kinds: dict[str, list[str]] = {}
    for contender in contenders:
        for fault in faults:
            if (why := impossible(fault, contender, deployment)) is not None:
                kinds.setdefault(why, []).append(fault.kind)
    return [f"skipped: {listed(list(dict.fromkeys(names)))}: {why}" for why, names in kinds.items()]


def _line(run: Run) -> str:
    kind = run.scenario.faults[0].kind
    head = f"  {escape(run.contender)} {kind}: "
    if run.problems:
        return head + f"[red]refused[/]: {escape(run.problems[0])}"
    silence = run.figures.get("silence_ms")
    words = [f"{run.lost:,} lost of {run.expected:,}", f"{run.duplicated:,} twice"]
    words += [f"{run.figures['lost_though_published']:,.0f} of them published"] if run.lost else []
    words += [f"silent up to {silence / 1000:.1f} s"] if silence is not None else []
    words += ["the node had to be restarted"] if run.figures.get("needed_help") else []
    words += [] if run.figures.get("recovered") else ["[red]not every client came back[/]"]
    return head + ", ".join(words)


def faults_command(
    contenders: Sequence[Contender],
    faults: Sequence[Fault],
    scenario: Scenario,
    out: Path,
    json_answer: bool,
    deployment: Deployment | None = None,
    lanes: int | None = None,
    *,
    named: bool = True,
) -> int:
    """Run the command for contenders that the user named, or not. The exit code is 0 if each cell has a valid run, every client came back and promises were kept, otherwise 1.

    A promise that the product itself cannot keep in a fault, as brokers/limits.py says, is not counted against it. `lanes_for`
    checks `lanes` and knows the default.
    """
    if deployment is None:
        require_descriptors(scenario)
    contenders, unfit = fitting(contenders, scenario, named=named)

    from harness.report.page import write_report  # matplotlib takes half a second to import

    jobs = plan(contenders, faults, scenario, deployment)
    console = Console(stderr=json_answer)
    parts = split(jobs, lanes_for(jobs, lanes))
    beside = f", in {len(parts)} lanes side by side" if len(parts) > 1 else ""
    console.print(
        f"{len(jobs)} runs{beside}: {escape(', '.join(c.name for c in contenders))} through {len(faults)} fault{'s' if len(faults) > 1 else ''}, "
        f"{scenario.clients} clients on {scenario.replicas} replicas, {scenario.rate_hz:g} events/s, "
        f"about {ceil(max(map(seconds, parts)) / 60)} min",
        highlight=False,
    )
    for sentence in (*unfit, *left_out(contenders, faults, deployment)):
        console.print(f"  {escape(sentence)}", highlight=False)
    results = start_results(out, "faults", scenario, contenders, lanes=len(parts))
    outcome = run_jobs(jobs, results, console, _line, lanes=len(parts))
    report = write_report(outcome.folder, outcome.comparison)
    comparison = report.comparison
    for sentence in comparison.verdict:
        console.print(sentence, highlight=False, markup=False)
    console.print(f"report: {report.page}", highlight=False, markup=False, soft_wrap=True)
    if json_answer:
        runs = [run_json(run) | run.figures for run in comparison.runs]
        print(json.dumps({"folder": str(outcome.folder), "complete": comparison.complete, "runs": runs}))
    return 0 if comparison.complete and held(comparison.runs) else 1


def held(runs: Sequence[Run]) -> bool:
    """Whether each cell has a valid run in each round, with every client back and nothing lost that was promised."""
    cells = {(run.contender, run.scenario.faults[0].kind, run.round) for run in runs}
    valid = [run for run in runs if run.valid]  # a refused one may have been repeated
    if cells != {(run.contender, run.scenario.faults[0].kind, run.round) for run in valid}:
        return False
    return all(cell.recovered and (not cell.broken_promise or cell.notes) for cell in outcomes(valid))
