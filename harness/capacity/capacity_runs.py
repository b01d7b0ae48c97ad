"""The runs of a capacity search: try a load, judge it and report it; repeat a run that the machine disturbed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from brokers.contender import Contender
from core.contracts.capacity import Axis, CapacityPoint
from core.cores import usable_cores
from core.errors import FanbenchError
from core.scenario import Scenario
from core.topics import topic_pattern
from harness.analysis.slo import Slo
from harness.results.run_record import LATENCY, OTHERS, PARTS, Run
from harness.results.store import ResultFolder
from harness.runner.deployment import Deployment
from harness.runner.run import Patience
from harness.schedule.jobs import measure
from harness.schedule.retry_queue import REPEATS, Job

FULL_MACHINE = 0.85
"""The run's own share of all cores: above this, the load itself made the generator late."""
PATIENCE = Patience(connect_s=15.0, probe_s=6.0, report_s=8.0, end_s=8.0)
"""A load that needs longer counts as too large, so that the search continues."""
_GUESS_S = 10.0
"""The estimated duration of a run without its phases, before the first run."""


def at_load(scenario: Scenario, axis: Axis, load: int) -> Scenario:
    """The scenario with this load; clients connect so fast that a run takes seconds."""
    changed: dict[Axis, dict[str, object]] = {
        "clients": {"clients": load},
        "rate": {"rate_hz": float(load)},
        "replicas": {"replicas": load},
        "topics": {"topics": topic_pattern(load)},
    }
    raised = scenario.with_fields(**changed[axis])
    return raised.with_fields(connect_hz=max(raised.connect_hz, raised.clients / 2))


def by_weather(run: Run, cores: float) -> bool:
    """Whether the run is inconclusive: something else disturbed it while cores were free.

    If the run's own processes fill the machine, the load itself makes the generator late, and would do so again.
    """
    here = {"generator"} if OTHERS in run.not_watched else set(PARTS)  # processes elsewhere do not use these cores
    own_cores = sum(usage.cpu_s for part, usage in run.usage.items() if part in here) / run.scenario.duration_s
    return run.disturbed and own_cores < FULL_MACHINE * cores


def judge(run: Run, slo: Slo, load: int, cores: float) -> CapacityPoint:
    """Return whether the run is valid and meets the objective, and if not, what broke.

    The reason to refuse a run, such as a late generator or Locust at its limit, is never the contender's limit; nor is a figure that is
    within the objective, but closer to it than the clocks of several hosts are known.
    """
    latency = run.histograms.get(LATENCY)
    p99_ms = latency.percentile_ms(99) if latency else 0.0
    return CapacityPoint(
        load=load,
        held=not (why := "; ".join(run.problems) or slo.broken_by(run)),
        p99_ms=p99_ms,
        lost=run.lost,
        why=why,
        judged=not run.permanent and not by_weather(run, cores),
        by_harness=not run.valid or slo.hidden_by_clocks(run),
    )


class PermanentFailureError(FanbenchError):
    """A run failed for a reason independent of the load: the search is over."""


class Budget:
    """The time budget of a search, and whether further runs fit, judged by the last ones."""

    def __init__(self, within_s: float, first_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_s = clock() + within_s
        self._took_s = [first_s]

    def add(self, took_s: float) -> None:
        """A run was done."""
        self._took_s.append(took_s)

    def affords(self, runs: int) -> bool:
        """Whether this many more runs would end in time."""
        return self._clock() + runs * statistics.fmean(self._took_s[-3:]) <= self._ends_s


class CapacityRuns:
    """The search's oracle: each call is a run, which is kept."""

    def __init__(
        self,
        contender: Contender,
        scenario: Scenario,
        axis: Axis,
        slo: Slo,
        results: ResultFolder,
        within_s: float,
        deployment: Deployment | None = None,
    ) -> None:
        self._deployment = deployment
        self._contender, self._scenario, self._axis, self._slo = contender, scenario, axis, slo
        self._results = results
        self._budget = Budget(within_s, scenario.warmup_s + scenario.duration_s + _GUESS_S)
        self.affords = self._budget.affords
        self.points: list[CapacityPoint] = []
        self.runs: list[Run] = []
        """One run for each point."""
        self.console = Console(stderr=True)

    def holds(self, load: int) -> bool | None:
        """Return whether the load holds in a run; None if several attempts could not be judged.

        Raises:
            PermanentFailureError: the run failed for a reason that no load changes.
        """
        for _ in range(1 + REPEATS):
            point = self._try(load)
            if self.runs[-1].permanent:
                raise PermanentFailureError("no run at any load can succeed")
            if point.judged:
                return point.held
            if not self.affords(1):
                break
        return None

    def _try(self, load: int) -> CapacityPoint:
        number = len(self.points) + 1
        scenario = at_load(self._scenario, self._axis, load)
        label = f"run {number} {self._contender.file_name}"
        job = Job(self._contender, scenario, number, label, patience=PATIENCE, deployment=self._deployment)
        began_s = time.monotonic()
        head = escape(f"run {number}: {load:,} {self._axis}")
        with self.console.status(head) as status:
            run = measure(job, self._results, lambda phase: status.update(f"{head} · {phase}"))
        self._budget.add(time.monotonic() - began_s)
        point = judge(run, self._slo, load, usable_cores())
        self.points.append(point)
        self.runs.append(run)
        breaks = "the harness reached its limit" if point.by_harness else "breaks"
        verdict = "holds" if point.held else f"{breaks if point.judged else 'not judged'}: {point.why}"
        words = escape(f"p99 {point.p99_ms:.1f} ms, lost {point.lost:,}: {verdict}")
        self.console.print(f"  {head}, {words}", highlight=False)
        return point
