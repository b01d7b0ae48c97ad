"""Clients in network namespaces: what is reported about them, and a small run of the real programs."""

from pathlib import Path

import pytest

from benchmarks import hosts
from benchmarks.held import EventsHeld, IdleHeld
from benchmarks.hosts import Hosts
from benchmarks.many import events, idle
from brokers.programs.namespaces import why_not
from core.errors import UsageError
from tests.missing import missing

CORES = {"replicas": 0.25, "machine": 1.5}


def idle_held(fewest: int) -> IdleHeld:
    return IdleHeld(1_000, fewest, 30.0, 2.0, 6.1, 10.5, 5.0, {"replicas": 76.0}, CORES)


def events_held(problems: tuple[str, ...]) -> EventsHeld:
    return EventsHeld(500, 2.0, problems, 5_000, 5_000, (500, 500), 5_000, 12.0, 80.0, {"load": 0.5}, CORES, 3.2)


def test_a_client_that_was_missing_for_a_second_is_reported() -> None:
    assert idle_held(1_000).good
    assert "held; by the replicas' own counts at least 1,000 for 30 s" in idle_held(1_000).text()
    assert not idle_held(999).good
    assert "NOT HELD; by the replicas' own counts at least 999" in idle_held(999).text()


def test_a_refused_run_is_reported_with_its_reasons() -> None:
    assert events_held(()).good
    assert "500 clients x 2 events/s: valid; connected in 3 s; delivered 5,000 of 5,000" in events_held(()).text()
    refused = events_held(("generator late", "load at 95% of a core"))
    assert not refused.good
    assert "REFUSED: generator late; load at 95% of a core" in refused.text()


def test_a_machine_without_namespaces_gets_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hosts, "why_not", lambda: "needs Linux")
    with pytest.raises(UsageError, match="needs Linux"), Hosts(1, 1, 10, tmp_path):
        pass


@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("integration")
def test_clients_on_hosts_of_their_own_stay_and_receive_every_event(tmp_path: Path) -> None:
    if (reason := why_not()) is not None:
        missing(reason)
    with Hosts(2, 3, 300, tmp_path) as started:
        held = idle(started, 300, 200.0, 2.0, tmp_path / "idle", print)
        run = events(started, 150, 4.0, 200.0, 3.0, tmp_path / "events", print)
    assert held.good, held.text()
    assert held.replica_kb > 0
    assert held.worker_kb > 0
    assert run.delivered == run.expected == 150 * 4 * 3, run.text()
    assert list(run.counted) == [150, 150]
    assert run.written >= 150 * 4 * 2, run.text()  # those in flight when measuring ends are not counted
