"""The balance of a session: what its clients received and missed, up to what all clients of the run saw."""

from __future__ import annotations

from collections import Counter
from time import time_ns

import gevent

from core.contracts.load_result import Cause
from core.histogram import Histogram
from load.clock_bound import ClockBound
from load.ledger import Track
from load.session import SeatedClient, Session
from load.visits import VisitAccount
from load.worker_result import (
    Horizon,
    Seen,
    SeriesKey,
    ServerTopic,
    SpanName,
    Tally,
    WorkerResult,
    horizon_of,
)

POLL_S = 0.02


def drain(session: Session, horizon: Horizon, drain_s: float, users: int) -> WorkerResult:
    """Wait until no client of the frozen session is behind the horizon, at most `drain_s` seconds; then count."""
    session.measure_until(horizon)
    waited_s = 0.0
    while waited_s < drain_s and session.behind(horizon):
        gevent.sleep(POLL_S)
        waited_s += POLL_S
    return finalize(session, horizon, users)


def finalize(session: Session, horizon: Horizon, users: int) -> WorkerResult:
    """Return this process's measurement at the end of the test; `horizon` is what the clients of all processes saw."""
    account = session.visits.finish() if session.visits is not None else None
    result = _measured(session)
    _enter_visits(result, account)
    result.tally.users = users
    result.tally.connected = session.counters.connected
    result.tally.resting = session.counters.resting
    result.tally.waiting = session.waiting
    result.tally.bystanders = sum(not client.state.aside for client in session.clients)
    horizon = horizon_of(session.series) | horizon
    for client in session.clients:
        _enter_present(client, result, horizon)
    for client in session.left:
        _enter_left(client, result, horizon)
    return result


def hand_over(session: Session) -> WorkerResult:
    """This process's measurement when it leaves a running test: all its clients have left."""
    account = session.visits.finish() if session.visits is not None else None
    result = _measured(session)
    _enter_visits(result, account)
    horizon = horizon_of(session.series)
    for client in (*session.clients, *session.left):
        _enter_left(client, result, horizon)
    return result


def _enter_visits(result: WorkerResult, account: VisitAccount | None) -> None:
    """Their clients have left and are counted nowhere else."""
    if account is not None:
        result.visits = account.tally
        result.causes.update(account.causes)
        result.tally.received += account.received


def _measured(session: Session) -> WorkerResult:
    session.tick(hold=False)
    session.probes.stop()
    session.recorder.close()
    counters, recorder = session.counters, session.recorder
    tally = Tally(
        left=session.left_whole,
        received=session.received_by_left,
        deliveries=recorder.deliveries,
        sized=recorder.sized,
        wire_bytes=recorder.wire_bytes,
        duplicated=counters.duplicated,
        reordered=counters.reordered,
        replayed=counters.replayed,
        gaps=counters.gaps,
        reconnects=counters.reconnects,
        unidentified=recorder.unidentified,
    )
    if session.events is not None:
        tally.forgotten_ids = session.events.forgotten_ids
    if session.access is not None:
        tally.opened, tally.whole = session.access.times.opened, session.access.times.whole
        tally.redirects, tally.body_bytes = session.access.times.redirects, session.access.times.received_bytes
    return WorkerResult(
        tally=tally,
        foreign=counters.foreign.copy(),
        disconnects=counters.disconnects.copy(),
        refused=counters.refused.copy(),
        spans=recorder.spans | _recovery(session) | _streams(session),
        told=recorder.told.copy(),
        set_aside=set(session.events.set_aside) if session.events is not None else set(),
        endpoint=session.access is not None,
        clock=session.access.clock if session.access is not None else ClockBound(),
        servers=dict(recorder.servers),
        seconds=recorder.seconds,
        seen={
            SeriesKey(one.stream, one.topic): [Seen.of(one.seen)] for one in session.series if one.low_seq is not None
        },
        first_due_ns=recorder.first_due_ns,
        last_arrival_ns=recorder.last_arrival_ns,
        clocks=session.clocks.finish(time_ns()),
    )


def _enter_present(client: SeatedClient, result: WorkerResult, horizon: Horizon) -> None:
    _enter_tracks(client, result, horizon, stays=True)
    if client.state.opened_once:
        last = client.reader.last_event()
        result.tally.clients += 1
        result.tally.unreached += last is None
        result.clients[ServerTopic(last.server if last else "", client.state.topic)] += 1


def _enter_left(client: SeatedClient, result: WorkerResult, horizon: Horizon) -> None:
    _enter_tracks(client, result, horizon, stays=False)
    result.tally.left += client.state.opened_once


def _enter_tracks(client: SeatedClient, result: WorkerResult, horizon: Horizon, *, stays: bool) -> None:
    for track in client.state.tracks.values():
        result.causes.update(charge(track, horizon, connected=client.state.connected, stays=stays))
        result.tally.received += track.measured()


def charge(track: Track, horizon: Horizon, *, connected: bool, stays: bool) -> Counter[Cause]:
    """One client's losses in one series, by cause; a client that left early (`stays` false) has no tail."""
    series = track.series
    bounds = horizon.get(SeriesKey(series.stream, series.topic)) if series else None
    if bounds is None:
        return Counter()
    tail = Cause.TAIL if connected else Cause.CONNECTION
    return Counter(track.lost(*bounds, tail if stays else None))


def _streams(session: Session) -> dict[SpanName, Histogram]:
    """Return the figures that every stream has; empty at our replicas."""
    if session.access is None:
        return {}
    now_ns = session.ended_ns or time_ns()
    silences_ns = list(session.silences_ns)
    for client in session.clients:
        if client.reader.notes is not None and client.state.opened_once:
            client.reader.notes.quiet_until(now_ns)
            silences_ns.append(client.reader.notes.longest_ns)
    silence = Histogram()
    silence.record_ns(silences_ns)
    times = session.access.times
    return {
        "stream_first": times.first,
        "stream_gap": times.gap,
        "stream_answer": times.answer,
        "stream_silence": silence,
    }


def _recovery(session: Session) -> dict[SpanName, Histogram]:
    """For each client since the last mark: the time to its first event, and its longest silence; empty without one."""
    account = session.visits.account if session.visits is not None else None
    marked = list(account.recoveries) if account is not None else []
    waits_ns = account.first_waits_ns if account is not None else []
    # If no client hears anything any more, no arrival shows until when events were due.
    last_ns = max(session.recorder.last_heard_ns, session.published_until_ns)
    for client in session.clients:
        recovery = client.state.recovery
        if recovery is not None:
            recovery.heard(client.reader.arrival_ns, max(last_ns, client.reader.arrival_ns))
            marked.append(recovery)
    if not marked and not waits_ns:
        return {}
    first_ns, silence_ns = [], []
    for recovery in marked:
        silence_ns.append(recovery.longest_silence_ns)
        if recovery.first_event_ns is not None:
            first_ns.append(recovery.first_event_ns)
    first, silence, waits = Histogram(), Histogram(), Histogram()
    first.record_ns(first_ns)
    silence.record_ns(silence_ns)
    waits.record_ns(waits_ns)
    return {"first_event": first, "silence": silence, "first_wait": waits}
