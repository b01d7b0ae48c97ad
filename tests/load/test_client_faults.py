"""Client faults, through Locust and a reference server: they are reported, and nothing is lost."""

import json
import time

import pytest

from tests.truth.measuring import measure, wait_for_status

pytestmark = pytest.mark.usefixtures("integration")

STREAM = {"clients": 10, "measure": 500, "rate_hz": 200.0, "retry_ms": 100}
CLIENTS = 10


def measure_with(*orders, how="single", after=400, away=0, **script):
    """Measure, and append the orders to the control file once this many deliveries are counted."""

    def meddle(folder):
        wait_for_status(folder, "deliveries", after)
        with (folder / "control").open("a") as file:
            for order in orders:
                file.write(json.dumps({"at_ns": time.time_ns()} | order) + "\n")

    result = measure(STREAM | script, users=CLIENTS, how=how, meddle=meddle)
    assert len(result["problems"]) == (1 if away else 0)
    assert result["connected"] == CLIENTS - away
    return result


@pytest.mark.parametrize("how", ["single", pytest.param("processes", marks=pytest.mark.soak), "workers"])
def test_all_are_cut_at_once_and_come_back(how):
    result = measure_with({"do": "mark"}, {"do": "cut"}, how=how)
    assert (result["reconnects"], result["disconnects"]) == (CLIENTS, {"cut on order": CLIENTS})
    assert (result["lost"], result["duplicated"], result["deliveries"]) == (0, 0, CLIENTS * 500)
    assert result["replayed"] > 0
    assert result["downtime_ms"]["p50"] >= 80
    recovery = result["recovery"]
    assert (recovery["clients"], recovery["never"]) == (CLIENTS, 0)
    assert recovery["first_event_ms"]["p50"] >= 80
    assert result["bystanders"]["deliveries"] == result["deliveries"]


def test_some_stop_reading_and_the_others_do_not_notice():
    result = measure_with({"do": "mark"}, {"do": "stall", "share": 0.3, "for_s": 1.0})
    assert (result["lost"], result["duplicated"], result["reconnects"]) == (0, 0, 0)
    assert result["deliveries"] == CLIENTS * 500
    assert result["bystanders"]["clients"] == 7
    assert 0 < result["bystanders"]["deliveries"] < result["deliveries"]
    assert result["latency_ms"]["max"] >= 950
    assert result["recovery"]["longest_silence_ms"]["max"] >= 950
    assert result["recovery"]["first_event_ms"]["max"] >= 900


def test_some_are_cut_and_the_others_are_distinguished():
    result = measure_with({"do": "mark"}, {"do": "cut", "share": 0.4})
    assert (result["lost"], result["reconnects"], result["bystanders"]["clients"]) == (0, 4, 6)
    assert result["bystanders"]["before_ms"]["p99"] > 0
    assert 0 < result["bystanders"]["deliveries"] < result["deliveries"]
    assert result["latency_ms"]["max"] >= result["bystanders"]["latency_ms"]["max"]
    assert result["latency_ms"]["max"] >= 80  # replayed events waited for `retry_ms`


def test_some_come_and_go():
    result = measure_with({"do": "mark"}, {"do": "churn", "share": 0.2, "for_s": 1.5})
    assert (result["lost"], result["duplicated"]) == (0, 0)
    assert result["disconnects"] == {"churn on order": 4}
    assert result["reconnects"] == 4
    assert result["bystanders"]["clients"] == 8


def test_a_client_that_hears_nothing_after_the_mark_is_reported():
    until = {"do": "published", "at_ns": time.time_ns() + 100_000_000_000}
    result = measure_with({"do": "mark"}, {"do": "cut"}, until, retry_ms=60_000, away=CLIENTS)
    assert result["recovery"]["never"] == CLIENTS
    assert result["recovery"]["longest_silence_ms"]["p50"] > 50_000  # no arrival shows that there were events
