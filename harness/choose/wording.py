"""The answer as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal

from harness.analysis.fault_evidence import same_machine
from harness.choose.advice import advice
from harness.choose.choose import Answer
from harness.choose.needs import Needs

_HOW_CERTAIN = "How certain, in p50, p90, p99 and the broker hop together:"


def in_words(answer: Answer, needs: Needs, here: Mapping[str, str] | None = None) -> str:
    """The answer as text: the machine, the remaining and the ruled-out contenders, the gaps and the advice."""
    lines = [machine(answer, here), *(f"Careful: {said}." for said in answer.warnings)]
    for delivery, groups in answer.left.items():
        lines.append(f"Left, {delivery}, by p99:" if len(answer.left) > 1 else "Left, by p99:")
        for place, group in enumerate(groups, 1):
            for judged in group:
                mark = f"{place}." if judged is group[0] else "  "
                lines.append(f"  {mark} {judged.contender}: {'; '.join(judged.reasons)}")
    lines += ["Nothing is left."] if not answer.left else [_HOW_CERTAIN, *(f"  {said}" for said in answer.sure)]
    if answer.ruled_out:
        lines += ["Ruled out:", *(f"  {j.contender}: {'; '.join(j.reasons)}" for j in answer.ruled_out)]
    if answer.costs:
        lines += ["The broker's cost at the given prices:", *(f"  {said}" for said in costs(answer))]
    if answer.not_measured:
        lines.append("Not measured:")
        for gap in answer.not_measured:
            lines.append(f"  {gap.what}")
            lines += [f"    {gap.command}"] if gap.command else []
    return "\n".join([*lines, advice(answer, needs)])


def costs(answer: Answer) -> list[str]:
    """The cost of each contender's broker."""
    money = answer.currency
    return [
        f"{name}: {decimal(cost.per_million)} {money} per million deliveries at the measured load, {decimal(cost.per_month)} {money} "
        f"per month at the needed load ({cost.scaled:.3g} times as many deliveries)"
        for name, cost in sorted(answer.costs.items(), key=lambda one: one[1].per_month)
    ]


def decimal(value: float) -> str:
    """Format a number with three significant digits and without an exponent."""
    return format(Decimal(f"{value:.3g}"), "f")


def machine(answer: Answer, here: Mapping[str, str] | None) -> str:
    """The machine and the dates of the results."""
    host = ", ".join(answer.host[key] for key in ("cpu", "memory", "system") if key in answer.host) or "unknown"
    days = sorted({result.comparison.started_utc[:10] for result in answer.results})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    results = ", ".join(result.name for result in answer.results)
    whose = "this machine" if here is not None and same_machine(answer.host, here) else "another machine"
    whose = "a machine" if here is None else whose
    base = f" The load nearest to yours is that of {answer.base.name}." if len(answer.results) > 1 else ""
    return f"Measured on {whose} ({host}), {when}: {results}.{base}"


def as_json(answer: Answer, needs: Needs, here: Mapping[str, str] | None = None) -> dict[str, object]:
    """The answer as a JSON object."""
    return {
        "measured_on": dict(answer.host),
        "this_machine": None if here is None else same_machine(answer.host, here),
        "load": answer.base.name,
        "results": [result.name for result in answer.results],
        "warnings": answer.warnings,
        "left": {
            delivery: [[asdict(j) for j in group] for group in groups] for delivery, groups in answer.left.items()
        },
        "sure": answer.sure,
        "ruled_out": [asdict(judged) for judged in answer.ruled_out],
        "costs": {name: asdict(cost) | {"currency": answer.currency} for name, cost in answer.costs.items()},
        "not_measured": [asdict(gap) for gap in answer.not_measured],
        "advice": advice(answer, needs),
    }
