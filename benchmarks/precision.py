"""Part (h): the precision of a comparison on this machine: false alarms, power and widths, resampled from its own rounds.

The rounds come from the result directory in FANBENCH_RESULTS, or from a comparison that is measured now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.figures import Bar, Figure, FigureRow, FigureTable
from benchmarks.resampled import Floats, go_through, noise_of, resample
from core.errors import UsageError
from core.resources import resource_folder
from core.scenario import Scenario, load_scenario
from harness.analysis.judgements import BROKER, CPU, FIGURES, P50, P99
from harness.analysis.standings import standings
from harness.commands.compare import plan
from harness.report.notebook import RESULTS
from harness.results.load import load_results
from harness.results.run_record import Comparison, Run
from harness.runner.contenders import choose_contenders
from harness.schedule.jobs import run_jobs, start_results
from harness.schedule.retry_queue import REPEATS, SPARE_ROUNDS
from harness.schedule.stopping import WITHIN_S, planned_looks, planned_rounds

CHANGE = 1.10
LEAST_ROUNDS = 8
"""With fewer, resampled rounds are too much alike to say anything."""
_WIDEST = {P50.name: 1.06, P99.name: 1.25, BROKER.name: 1.06}
_TRIES = 0.9


@dataclass(frozen=True, slots=True)
class PrecisionSize:
    """A comparison to measure, and the number of comparisons resampled from its rounds."""

    rounds: int
    contenders: tuple[str, ...]
    resampled: int
    scenario: Scenario
    refused_too: bool = False
    """Also use runs that were refused: only to check that it works on any machine, without judging anything."""


FULL = PrecisionSize(24, (), 2000, load_scenario("broadcast", resource_folder("scenarios")))
QUICK = PrecisionSize(
    LEAST_ROUNDS, ("valkey", "valkey"), 50, Scenario(clients=20, warmup_s=0.1, duration_s=0.3), refused_too=True
)


def precision(size: PrecisionSize, folder: Path, say: Callable[[str], None]) -> FigureTable:
    """Measure unless rounds exist, and resample them for two contenders up to all."""
    stored = os.environ.get(RESULTS)
    comparison = load_results(Path(stored)) if stored else _measured(size, folder, say)
    refused = sum(not run.valid for run in comparison.runs)
    if size.refused_too:
        comparison = replace(comparison, runs=[replace(run, problems=()) for run in comparison.runs if run.delivered])
    runs = _ranked(comparison)
    noise = noise_of(runs)
    if noise.shape[2] < LEAST_ROUNDS:
        raise UsageError(
            f"{stored or 'the comparison'}: its contenders have {noise.shape[2]} valid rounds in common, and {LEAST_ROUNDS} are "
            f"needed to resample them; measure with --rounds {FULL.rounds} on a quieter machine"
        )
    counts = sorted({2, min(3, len(runs)), len(runs)})
    rows = [_row(noise, comparison.scenario, count, size.resampled, say) for count in counts]
    notes = [
        f"{noise.shape[2]} rounds of {len(comparison.runs)} runs, {refused} refused, load average {os.getloadavg()[0]:.1f} now",
        *[f"{figure.words}: {_spread(noise[place]):.3f} between two contenders of a round (standard deviation of the ratio's logarithm)"
          for place, figure in enumerate(FIGURES)],
    ]  # fmt: skip
    title = f"(h) precision of fanbench compare after {WITHIN_S / 60:.0f} minutes: {size.resampled:,} comparisons resampled from {', '.join(runs)}"
    return FigureTable("precision", title, rows, [bar for row in rows for bar in _bars(row)], notes)


def _measured(size: PrecisionSize, folder: Path, say: Callable[[str], None]) -> Comparison:
    say(f"a comparison of {size.rounds} rounds")
    contenders = choose_contenders(size.contenders, every=False)
    scenario = size.scenario.with_fields(rounds=size.rounds)
    results = start_results(folder, "precision", scenario, contenders)
    jobs, (repeats, spare) = plan(contenders, scenario), (0, 0) if size.refused_too else (REPEATS, SPARE_ROUNDS)
    return run_jobs(jobs, results, Console(quiet=True), lambda run: "", repeats, spare).comparison


def _ranked(comparison: Comparison) -> dict[str, Mapping[int, Run]]:
    """The contenders of the most common promise, by round; without the floor."""
    found = [one for one in standings(comparison) if not one.floor and one.runs]
    promises = [one.delivery for one in found]
    if not promises:
        raise UsageError("no valid run of a broker: there is nothing to resample")
    most = max(promises, key=promises.count)
    ranked: dict[str, Mapping[int, Run]] = {
        one.contender: {run.round: run for run in one.runs} for one in found if one.delivery == most
    }
    if len(ranked) < 2:
        raise UsageError(f"{', '.join(ranked)}: a comparison of one contender has no pairs to resample")
    return ranked


def _row(noise: Floats, scenario: Scenario, contenders: int, resampled: int, say: Callable[[str], None]) -> FigureRow:
    """For `contenders` of one promise in rounds with the floor: alarms under stopping, power and widths at the last round."""
    rounds = planned_rounds(scenario.run_s * (contenders + 1), WITHIN_S)
    say(f"{contenders} contenders, {rounds} rounds, {resampled:,} times")
    equal = resample(noise, resampled, contenders, rounds)
    ended = go_through(equal, planned_looks(rounds))
    figures = {"rounds": float(rounds), "false alarms": ended.told_apart.any(axis=(1, 2)).mean()}
    figures["rounds until settled"] = float(ended.rounds.mean())
    slower = equal.copy()
    slower[:, :, 1] += np.log(CHANGE)
    found = go_through(slower, (rounds,))
    for figure in FIGURES:
        place = FIGURES.index(figure)
        if figure in (P50, BROKER, CPU):
            figures[f"finds +{CHANGE - 1:.0%} {figure.name}"] = found.told_apart[:, place, 0].mean()
        width = np.exp(np.quantile(found.half_widths[:, place, 0], _TRIES))
        figures[f"{figure.name} within"] = float(width)
    return FigureRow(f"{contenders} contenders", {name: Figure.of([float(value)]) for name, value in figures.items()})


def _bars(row: FigureRow) -> list[Bar]:
    found = [Bar(f"false alarms, {row.name}", row.figures["false alarms"], 0.01, unit="of comparisons of equals")]
    found += [
        Bar(f"{name}, {row.name}", figure, _TRIES, at_least=True, unit="of comparisons")
        for name, figure in row.figures.items()
        if name.startswith("finds")
    ]
    return found + [
        Bar(f"{name}'s interval in 9 of 10, {row.name}", row.figures[f"{name} within"], widest)
        for name, widest in _WIDEST.items()
    ]


def _spread(noise: Floats) -> float:
    """The standard deviation of the difference of two contenders, over all pairs.

    `noise` has the shape (contenders, rounds).
    """
    first, second = np.triu_indices(len(noise), 1)
    return float(np.sqrt((noise[first] - noise[second]).var(axis=1, ddof=1).mean()))
