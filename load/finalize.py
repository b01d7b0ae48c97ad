"""The balance of a session: what its clients got and lack, counted up to what all clients of the run saw."""

from __future__ import annotations

from collections import Counter

from core.contracts.load_result import Cause
from core.histogram import Histogram
from load.ledger import Track
from load.session import SeatedClient, Session
from load.worker_result import Distribution, Horizon, Seen, WorkerResult, horizon_of


def finalize(session: Session, horizon: Horizon) -> WorkerResult:
    """What this process measured; `horizon` is what the clients of all processes saw."""
    session.tick()
    session.recorder.close()
    horizon = horizon_of(session.series) | horizon
    counters, recorder = session.counters, session.recorder
    totals = WorkerResult(
        counts=_counts(session),
        foreign=counters.foreign.copy(),
        disconnects=counters.disconnects.copy(),
        refused=counters.refused.copy(),
        times={name: Distribution(one) for name, one in recorder.times.items()} | _recovery(session),
        servers={name: Distribution(one) for name, one in recorder.servers.items()},
        seconds={at: Distribution.from_wire(wire) for at, wire in recorder.seconds.items()},
        seen={(one.stream, one.topic): [Seen.of(one.seen)] for one in session.series if one.low_seq is not None},
        first_due_ns=recorder.first_due_ns,
        last_arrival_ns=recorder.last_arrival_ns,
    )
    for client in session.clients:
        _enter(client, totals, horizon, stays=True)
    for client in session.left:
        _enter(client, totals, horizon, stays=False)
    totals.counts["lost"] = sum(totals.causes.values())
    return totals


def _counts(session: Session) -> Counter[str]:
    counters = session.counters
    counts = Counter(
        users=session.users,
        connected=counters.connected,
        deliveries=session.recorder.deliveries,
        sized=session.recorder.sized,
        wire_bytes=session.recorder.wire_bytes,
        duplicated=counters.duplicated,
        reordered=counters.reordered,
        replayed=counters.replayed,
        gaps=counters.gaps,
        reconnects=counters.reconnects,
        bystanders=sum(not client.state.aside for client in session.clients),
    )
    return counts + session.left_whole


def _enter(client: SeatedClient, totals: WorkerResult, horizon: Horizon, *, stays: bool) -> None:
    state = client.state
    for track in state.tracks.values():
        totals.causes.update(charge(track, horizon, connected=state.connected, stays=stays))
        totals.counts["received"] += track.measured()
    if not state.opened_once:
        return
    last = client.reader.last_event()
    totals.counts["clients"] += 1
    totals.counts["unreached"] += last is None
    if stays:
        totals.clients[last.server if last else "", state.topic] += 1


def charge(track: Track, horizon: Horizon, *, connected: bool, stays: bool) -> Counter[str]:
    """What one client lost of one series, by cause; one that left before the end (`stays` false) has no tail."""
    series = track.series
    bounds = horizon.get((series.stream, series.topic)) if series else None
    if bounds is None:
        return Counter()
    tail = Cause.TAIL if connected else Cause.CONNECTION
    lost = track.lost(bounds.low_seq, bounds.high_seq if stays else None, tail)
    return Counter({cause.value: count for cause, count in lost.items()})


def _recovery(session: Session) -> dict[str, Distribution]:
    """Over the clients, since the last mark: until the first event, and the longest silence; empty without a mark."""
    marked = [client for client in session.clients if client.state.recovery is not None]
    if not marked:
        return {}
    first_ns, silence_ns = [], []
    for client in marked:
        recovery = client.state.recovery
        assert recovery is not None
        recovery.heard(client.reader.arrival_ns, max(session.recorder.last_arrival_ns, client.reader.arrival_ns))
        silence_ns.append(recovery.longest_silence_ns)
        if recovery.first_event_ns is not None:
            first_ns.append(recovery.first_event_ns)
    distributions = {"first_event": Histogram(), "silence": Histogram()}
    distributions["first_event"].record_ns(first_ns)
    distributions["silence"].record_ns(silence_ns)
    return {name: Distribution(one) for name, one in distributions.items()}
