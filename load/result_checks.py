"""Whether the numbers of a measurement add up, and what is probably wrong if nothing was measured."""

from __future__ import annotations

from collections.abc import Sequence

from load.frames import Times
from load.id_numbers import REMEMBERED
from load.reasons import told
from load.result_spans import measured_spans
from load.worker_result import WorkerResult

_UNREACHABLE = ("refused", "no answer", "unreachable", "No route", "timed out", "hung up")
"""Words that occur in the reasons for a failed connection; all other reasons are a server's answers."""


def found_problems(totals: WorkerResult, asked: int, problems: Sequence[str]) -> list[str]:
    """What `check` finds. If a problem prevented the test from starting, there is nothing to check."""
    return [] if problems and not (totals.tally.users or totals.tally.left) else check(totals, asked)


def check(totals: WorkerResult, asked: int) -> list[str]:
    """The inconsistencies; empty if there are none."""
    tally = totals.tally
    missing = missing_clients(totals, asked)
    wrong = [missing] if missing else []
    if asked == 0 and not tally.clients and not tally.left:
        wrong.append("no clients were requested; give their number, such as -u 100")
    elif tally.deliveries == 0 and (tally.clients or not wrong):
        wrong.append(_nothing_came(totals) if totals.endpoint else _nothing_of_ours(totals))
    if tally.forgotten_ids:
        wrong.append(
            f"the dialect distinguishes events by ids without numbers, and {tally.forgotten_ids:,} of them were forgotten: "
            f"an event that reached a client after {REMEMBERED:,} newer ones counts as lost and as a new one; give the dialect "
            "a seq, or end the test earlier (-t)"
        )
    if totals.endpoint:
        wrong += _wrong_times(totals)
    if totals.has_ledger and tally.received != tally.deliveries:
        wrong.append(
            f"the clients' ledgers hold {tally.received} deliveries, the histograms {tally.deliveries}: "
            "a defect in fanbench, please report it"
        )
    return wrong + [
        f"histogram {name} has {one.count + one.negative} values, the ledger {tally.deliveries} deliveries: "
        "a defect in fanbench, please report it"
        for name, one in measured_spans(totals).items()
        if one.count + one.negative != tally.deliveries
    ]


def _nothing_came(totals: WorkerResult) -> str:
    if totals.foreign:
        return f"no event matches the dialect: {told(totals.foreign)}; give another --dialect, or correct its file"
    if totals.set_aside:
        reasons = ", ".join(sorted(totals.set_aside))
        return f"events came, but the dialect counts none of them as a delivery: {reasons}; give another --dialect, or correct its file"
    return "no event arrived: does the service send any to these topics, and was the time long enough?"


def _nothing_of_ours(totals: WorkerResult) -> str:
    if totals.foreign:
        return (
            f"no event is one of fanbench's: {told(totals.foreign)}; is a fanbench replica there? For another service, give the "
            "path of its stream with --path, and the meaning of its events with --dialect"
        )
    return "no measured event was delivered: is a generator running, and did it publish to these topics?"


def _wrong_times(totals: WorkerResult) -> list[str]:
    """Times of sending that cannot be right, although each is a valid time."""
    latency = totals.latency()
    check_it = "is the clock of the generator's host right?"
    if totals.told[Times.SENT]:
        check_it = "are sent, unit and time zone right in the dialect, and is the service's clock right?"
    wrong = []
    if latency.over:
        wrong.append(f"{latency.over:,} events seem to have been sent more than an hour before they came: {check_it}")
    if latency.negative and not latency.count:
        wrong.append(f"all {latency.negative:,} events seem to have been sent after they came: {check_it}")
    return wrong


def missing_clients(totals: WorkerResult, asked: int) -> str | None:
    """Missing or surplus clients."""
    tally = totals.tally
    if totals.visits is not None:
        return missing_visits(totals, asked)
    reasons = totals.refused + totals.disconnects
    why = told(reasons)
    if tally.waiting:
        why = f"{why}{', ' if why else ''}{tally.waiting:,} waited for their turn to connect, because answers came late"
    if tally.users and not tally.clients:
        return f"none of {tally.users} clients ever connected: {why or 'no answer'}{_where(totals)}"
    if tally.users == tally.clients == tally.connected + tally.resting == asked:
        return None
    return (
        f"{asked} clients were requested: at the end there were {tally.users} users, {tally.clients} of them had "
        f"connected, {tally.connected} still were" + (f" ({why})" if why else "")
    )


def _where(totals: WorkerResult) -> str:
    """A question about clients that never connected; empty if an answer of the service says more."""
    reasons = totals.refused + totals.disconnects
    if totals.endpoint and reasons and not any(word in reason for reason in reasons for word in _UNREACHABLE):
        return ""
    return f"; is a {'service' if totals.endpoint else 'replica'} running there?"


def missing_visits(totals: WorkerResult, asked: int) -> str | None:
    """Missing users, or visits that never connected."""
    visits, users = totals.visits, totals.tally.users
    if visits is None or (users == asked and visits.opened == visits.due):
        return None
    why = told(totals.refused)
    return f"{asked} users were requested, there were {users}; of {visits.due} visits {visits.opened} connected" + (
        f" ({why})" if why else ""
    )
