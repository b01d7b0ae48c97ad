"""The suite receives known lies and must report exactly these, by kind.

Times are compared with stamps that the reference server sets back, or with a control server in the same run, so that
this machine's delays cancel out.
"""

import pytest

from tests.truth.cases import CASES, FOUR, QUICK, Case, violations
from tests.truth.measuring import ROOT, Job, measure, measure_side_by_side

PRECISION = 0.001  # the error of a histogram with three significant figures


@pytest.fixture(scope="module")
def results():
    return measure_side_by_side({"all": Job(ROOT, {name: case.scripts for name, case in CASES.items()})})["all"]


@pytest.mark.subprocess
@pytest.mark.parametrize("name", CASES)
def test_injected_faults_are_found_exactly(name, results):
    assert violations(CASES[name], results[name]) == []


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize("name", ["several at once", "framings", "closed"])
def test_locust_finds_the_same(name):
    case = CASES[name]
    result = measure(*case.scripts, users=sum(script["clients"] for script in case.scripts))
    assert violations(case, result) == []


@pytest.mark.usefixtures("integration")
def test_constant_delays():
    delays = {"control": 0, "short": 1, "middle": 20, "long": 200}
    scripts = [{"server": name, "clients": 2, "measure": 150, "fanout_ms": ms} for name, ms in delays.items()]
    result = measure(*scripts, users=8)
    assert (
        violations(
            Case([script | {"stream": script["server"]} for script in scripts], {}, {}), result | {"events": 600}
        )
        == []
    )
    p50 = {name: server["latency_ms"]["p50"] for name, server in result["servers"].items()}
    for name, delay in delays.items():
        assert p50[name] >= delay * (1 - PRECISION)
        assert p50[name] - p50["control"] == pytest.approx(delay, rel=0.02, abs=3)


@pytest.mark.usefixtures("integration")
def test_each_hop_gets_its_own_delay_and_nothing_else():
    result = measure({"clients": 4, "schedule_ms": 5, "broker_ms": 30, "fanout_ms": 60} | QUICK, users=4)
    hops = result["hops_ms"]
    assert hops["schedule"] == dict.fromkeys(hops["schedule"], pytest.approx(5, rel=PRECISION))
    assert hops["broker"] == dict.fromkeys(hops["broker"], pytest.approx(30, rel=PRECISION))
    assert hops["fanout"]["p50"] >= 60 * (1 - PRECISION)
    for quantile, latency in result["latency_ms"].items():
        assert latency == pytest.approx(35 + hops["fanout"][quantile], rel=2 * PRECISION)


@pytest.mark.usefixtures("integration")
def test_a_stall_shows_in_full_from_the_due_instants():
    script = {"clients": 4, "warmup": 0, "measure": 300, "rate_hz": 100.0, "stall_at": 50, "stall_s": 2.0}
    result = measure(script, users=4)
    waits_ms = sorted([0.0] * 100 + [10.0 * (k + 1) for k in range(200)])  # each event's delay by the schedule
    truth = {"p50": waits_ms[149], "p90": waits_ms[269], "p99": waits_ms[296], "max": waits_ms[299]}
    for quantile, wait_ms in truth.items():
        assert result["latency_ms"][quantile] >= wait_ms * (1 - PRECISION)
    assert result["hops_ms"]["fanout"] == result["latency_ms"]
    assert max(row["max_ms"] for row in result["timeline"]) == result["latency_ms"]["max"]
    assert result["duration_s"] >= 2.99


@pytest.mark.usefixtures("integration")
def test_a_connection_reset_in_flight_resumes_without_a_trace():
    result = measure(FOUR | {"every": 1, "drop_at": [10, 25], "drop_abruptly": True, "retry_ms": 20}, users=4)
    assert (result["lost"], result["duplicated"], result["reordered"]) == (0, 0, 0)
    assert (result["deliveries"], result["reconnects"]) == (4 * 60, 8)
    assert sum(result["disconnects"].values()) == 8


@pytest.mark.usefixtures("integration")
def test_events_missed_while_disconnected_are_charged_to_the_connection():
    result = measure(FOUR | {"drop_at": [25], "retry_ms": 60, "resume": False, "measure": 120}, users=4)
    assert result["lost"] == 4 * 120 - result["deliveries"] > 0
    assert result["deliveries"] == result["sent"]
    assert result["causes"] == {"connection_down": result["lost"]}
    assert (result["reconnects"], result["replayed"]) == (2, 0)
