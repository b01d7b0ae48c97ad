"""Evidence from faults against a contender: its losses, and how long its clients heard nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.errors import UsageError
from core.fault import FaultKind
from harness.analysis.fault_outcomes import AT_LEAST_ONCE, FaultOutcome, outcomes
from harness.analysis.slo import Condition
from harness.analysis.stored_results import Result
from harness.choose.needs import Needs
from harness.choose.quoting import cite
from harness.results.run_record import Run

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")
_OF_THE_BROKER: tuple[FaultKind, ...] = ("broker-kill", "broker-stop")
"""On three nodes, the cluster's faults count instead of these."""
_OF_A_DEPLOY: FaultKind = "replica-restart"
_OF_REPLICAS: tuple[FaultKind, ...] = ("replica-kill", _OF_A_DEPLOY)
Found = tuple[FaultOutcome, Result]


def parse_silence_s(text: str) -> float | None:
    """Convert `5s` or `800ms` to seconds; None for an empty text.

    Raises:
        UsageError: the text is neither.
    """
    if not text:
        return None
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"max_silence = {text!r}: not a duration; write 5s or 800ms")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def faults_of(name: str, needs: Needs, results: Sequence[Result]) -> list[Found]:
    """The relevant faults of a contender, each from the newest result with a valid run."""
    newest: dict[FaultKind, Found] = {}
    for result in sorted(results, key=lambda result: result.comparison.started_utc):
        for outcome in outcomes([run for _, run in result.runs_of(name)]):
            newest[outcome.fault] = (outcome, result)
    left_out = _OF_THE_BROKER if needs.nodes > 1 else ()
    return [found for kind, found in newest.items() if kind not in left_out]


def against_in_faults(name: str, needs: Needs, results: Sequence[Result]) -> Iterator[str]:
    """Forbidden losses in faults and silences that are too long, each with its run."""
    limit_s = parse_silence_s(needs.max_silence)
    for outcome, result in faults_of(name, needs, results):
        said = lost_too_much(outcome, result, needs)
        if said:
            yield said
        silence_s = (outcome.worst("silence_ms") or 0) / 1000
        if limit_s is not None and silence_s > limit_s and outcome.fault in ("broker-kill", *_deploys(needs)):
            worst = max(outcome.runs, key=lambda run: run.figures.get("silence_ms", 0))
            figure = f"silence_ms {worst.figures['silence_ms']:g} in {outcome.fault} ({cite(result, _number(result, worst))})"
            yield f"{figure}, and {needs.max_silence} is the limit"


def lost_too_much(outcome: FaultOutcome, result: Result, needs: Needs) -> str:
    """`lost 7 of 5000 in broker-kill (run 2 of faults)` if the promise or the objective forbids it; otherwise empty."""
    promised = needs.promise == AT_LEAST_ONCE and outcome.broken_promise
    forbidden = any(condition.broken_by(run) for condition in _loss_conditions(needs) for run in outcome.runs)
    return _loss(outcome, result) if promised or forbidden else ""


def _loss_conditions(needs: Needs) -> list[Condition]:
    objective = needs.objective()
    return [one for one in objective.conditions if one.figure == "lost"] if objective else []


def _loss(outcome: FaultOutcome, result: Result) -> str:
    worst = max(outcome.runs, key=lambda run: run.lost)
    return f"lost {worst.lost} of {worst.expected} in {outcome.fault} ({cite(result, _number(result, worst))})"


def _deploys(needs: Needs) -> tuple[FaultKind, ...]:
    return (_OF_A_DEPLOY,) if needs.deploys_daily else ()


def silence_measured(name: str, needs: Needs, results: Sequence[Result]) -> str:
    """How long clients heard nothing when the broker died, in its worst run; empty if that does not matter or was not measured."""
    if not needs.max_silence or needs.nodes > 1:
        return ""
    for outcome, result in faults_of(name, needs, results):
        if outcome.fault == "broker-kill" and outcome.worst("silence_ms") is not None:
            worst = max(outcome.runs, key=lambda run: run.figures.get("silence_ms", 0))
            return f"silence_ms {worst.figures['silence_ms']:g} in broker-kill ({cite(result, _number(result, worst))})"
    return ""


def _number(result: Result, run: Run) -> int:
    return next(number for number, one in enumerate(result.comparison.runs, 1) if one is run)


def said_of_deploys(name: str, needs: Needs, results: Sequence[Result]) -> list[str]:
    """The effect of a deploy on a contender: its losses in a rolling restart of the replicas."""
    if not needs.deploys_daily:
        return []
    often = f"{needs.deploys_daily:g} deploy{'' if needs.deploys_daily == 1 else 's'} a day"
    for outcome, result in faults_of(name, needs, results):
        if outcome.fault == _OF_A_DEPLOY:
            return [f"{often}: {_loss(outcome, result)} each"]
    return [f"{often}: what each loses was not measured"]


def asks_of_faults(needs: Needs) -> bool:
    """Whether the needs depend on faults."""
    asked = needs.promise == AT_LEAST_ONCE or needs.max_silence or needs.nodes > 1
    return bool(asked or _loss_conditions(needs))


def may_lose_nothing(needs: Needs) -> bool:
    """Whether the objective limits losses."""
    return bool(_loss_conditions(needs))


def faults_not_measured(name: str, needs: Needs, results: Sequence[Result]) -> list[FaultKind]:
    """The faults without a valid run that decide about a contender: the loss of its broker, and a deploy if there are any.

    The others do not stand for them: a comparison of sessions, for instance, kills a replica and nothing else.
    """
    measured = {outcome.fault for outcome, _ in faults_of(name, needs, results)}
    decisive: list[FaultKind] = ["link-cut" if needs.nodes > 1 else "broker-kill"]
    decisive += [_OF_A_DEPLOY] if needs.deploys_daily else []
    return [kind for kind in decisive if kind not in measured]


def restarts_without_loss(name: str, results: Sequence[Result]) -> list[FaultKind] | None:
    """The faults in which a replica was killed or restarted and it lost nothing; None if it lost something in one.

    The one says little about the other: after a kill the clients come back by their last id, and in a rolling restart
    every replica is away for a while.
    """
    found = [outcome for outcome, _ in faults_of(name, Needs(), results) if outcome.fault in _OF_REPLICAS]
    return None if any(outcome.total("lost") for outcome in found) else [outcome.fault for outcome in found]


def kept_everything(name: str, needs: Needs, results: Sequence[Result]) -> str:
    """`it lost nothing in 11 faults (faults)`; empty if it lost something or nothing was measured."""
    found = faults_of(name, needs, results)
    if not found or any(outcome.total("lost") for outcome, _ in found):
        return ""
    kinds = "the one fault" if len(found) == 1 else f"{len(found)} faults"
    return f"it lost nothing in {kinds} ({', '.join(dict.fromkeys(result.name for _, result in found))})"
