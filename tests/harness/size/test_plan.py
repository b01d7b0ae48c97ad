"""A load's needs, by arithmetic that can be checked by hand."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from harness.commands.size import as_json, in_words
from harness.size.plan import MAX_CORE, HostLimits, WantedLoad, size
from harness.size.units import read_units

COSTS = read_units()
MILLION = WantedLoad(1_000_000, 1.0, replicas=50, workers=40)


def test_a_million_clients_on_fifty_replicas_and_forty_workers():
    plan = size(MILLION, COSTS, HostLimits())
    assert (plan.clients_per_replica, plan.clients_per_worker) == (20_000, 25_000)
    assert plan.replica_core == pytest.approx(20_000 * COSTS.replica.delivery_us / 1e6, rel=0.01)
    assert plan.worker_core == pytest.approx(25_000 * COSTS.worker.delivery_us / 1e6, rel=0.05)
    assert plan.ports == 500
    assert plan.gbit_s == pytest.approx(1e6 * (COSTS.wire.frame_bytes + COSTS.wire.packet_bytes) * 8 / 1e9)
    assert plan.fits
    assert plan.ends_first.what == "a worker's core"


loads = st.builds(
    WantedLoad,
    clients=st.integers(1, 5_000_000),
    rate_hz=st.floats(0.001, 20),
    replicas=st.integers(0, 200),
    workers=st.just(0),
    topics=st.integers(1, 20),
)


@given(loads)
def test_the_number_of_workers_is_the_smallest_that_fits(wanted):
    try:
        plan = size(wanted, COSTS, HostLimits())
    except UsageError:
        return
    assert plan.clients_per_worker * plan.workers >= wanted.clients
    assert plan.clients_per_replica * plan.replicas >= wanted.clients
    of_workers = {one.what: one.share for one in plan.limits if "worker" in one.what and "link" not in one.what}
    rounded = 1 + 1 / plan.clients_per_worker  # whole clients
    assert max(of_workers.values()) <= rounded + 0.001


@given(loads, st.floats(1.1, 10))
def test_a_larger_load_never_needs_less(wanted, factor):
    larger = WantedLoad(math.ceil(wanted.clients * factor), wanted.rate_hz, wanted.replicas, 0, wanted.topics)
    try:
        plan, more = size(wanted, COSTS, HostLimits()), size(larger, COSTS, HostLimits())
    except UsageError:
        return
    assert more.workers >= plan.workers or more.replicas > plan.replicas
    assert more.gbit_s >= plan.gbit_s


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (HostLimits(descriptors=1_000), "a worker's descriptors"),
        (HostLimits(ports=100), "ports of a worker's host to a replica"),
        (HostLimits(link_gbit=0.001), "a worker host's link"),
    ],
)
def test_the_first_limit_is_named_with_the_next_step(limits, what):
    plan = size(MILLION, COSTS, limits)
    assert not plan.fits
    assert plan.ends_first.what == what
    words = in_words(plan, COSTS, limits)
    assert f"It does not fit: {what}" in words
    assert plan.ends_first.remedy in words


def test_more_source_addresses_give_more_ports():
    one, two = (size(MILLION, COSTS, HostLimits(ports=400, source_addresses=number)) for number in (1, 2))
    assert (one.fits, two.fits) == (False, True)


@pytest.mark.parametrize(
    ("rate_hz", "replicas", "words"),
    [
        (5_000.0, 0, "those of a single client fill the core of its replica"),
        (5_000.0, 1, "those of a single client fill the core of a load process"),
        (math.nan, 0, "--rate nan: give a finite number"),
        (math.inf, 1, "--rate inf: give a finite number"),
    ],
)
def test_a_rate_that_no_number_of_processes_carries_is_refused(rate_hz, replicas, words):
    with pytest.raises(UsageError, match=words):
        size(WantedLoad(10, rate_hz, replicas=replicas), COSTS, HostLimits())


def test_a_process_receives_only_the_topics_of_its_clients():
    plan = size(WantedLoad(1_000, 1.0, replicas=10, workers=20, topics=1_000), COSTS, HostLimits())
    each_us = COSTS.replica.delivery_us + COSTS.replica.event_us
    assert plan.replica_core == pytest.approx(100 * each_us / 1e6)
    assert plan.worker_core == pytest.approx(50 * (COSTS.worker.delivery_us + COSTS.worker.event_us) / 1e6)
    assert plan.broker_core == pytest.approx(1_000 * (COSTS.broker.event_us + COSTS.broker.copy_us) / 1e6)


def test_more_replicas_than_clients_are_told_and_not_read_from():
    wanted = WantedLoad(10, 100.0, replicas=60)
    plan = size(wanted, COSTS, HostLimits())
    assert plan.clients_per_replica == 1
    assert plan.workers == 1
    assert "50 of the 60 replicas have no client." in in_words(plan, COSTS, HostLimits())


def test_a_host_has_no_more_workers_than_there_are():
    wanted = WantedLoad(20_000, 0.1, replicas=1, workers=2)
    two, four = (size(wanted, COSTS, HostLimits(workers_per_host=number)) for number in (2, 4))
    assert two == four
    assert two.ports == 20_000


def test_replicas_are_chosen_by_their_open_files_too():
    assert size(WantedLoad(9_000, 0.1), COSTS, HostLimits(descriptors=1_000)).replicas == 10


def test_a_million_million_clients_have_a_plan():
    plan = size(WantedLoad(10**12, 1.0, topics=10**6), COSTS, HostLimits())
    assert plan.clients_per_replica * plan.replicas >= 10**12
    assert json.loads(as_json(plan, COSTS))["fits"] is False, "no generator publishes a million events per second"


def test_the_answer_for_programs_has_every_number():
    plan = size(MILLION, COSTS, HostLimits())
    answer = json.loads(as_json(plan, COSTS))
    assert answer["workers"] == 40
    assert answer["limits"][0]["what"] == answer["ends_first"]
    assert answer["fits"] is True
    assert plan.worker_core < MAX_CORE


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "docs/scale.md"),
        ("measured = 'x'", "replica"),
        (None, "No such file"),
        ("a = " + "[" * 10_000, "not TOML"),
        ("a = 1\n" * 100_000, "over 16384 bytes"),
        ("a = '\udcff'", "not UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, text, named):
    path = tmp_path / "units.toml"
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError, match=named):
        read_units(path)
