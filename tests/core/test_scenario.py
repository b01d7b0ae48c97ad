"""Every scenario file loads, and bad input gets one line."""

from pathlib import Path

import pytest

from core.errors import UsageError
from core.scenario import Scenario, load_scenario, parse_scenario

FOLDER = Path(__file__).parents[2] / "scenarios"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_of_ours_loads_and_says_what_it_is(path):
    scenario = load_scenario(path.stem, FOLDER)
    assert scenario.name == path.stem
    assert scenario.description
    assert load_scenario(str(path), FOLDER) == scenario


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cleints": 5}, ["cleints", "did you mean 'clients'"]),
        ({"clients": 0}, ["clients", "0", "greater than or equal to 1"]),
        ({"clients": -3}, ["clients", "-3"]),
        ({"rate_hz": 0}, ["rate_hz", "0", "greater than 0"]),
        ({"duration_s": float("inf")}, ["duration_s", "inf", "finite"]),
        ({"warmup_s": float("nan")}, ["warmup_s", "nan", "finite"]),
        ({"rate_hz": -1}, ["rate_hz", "-1"]),
        ({"rate_hz": "fast"}, ["rate_hz", "'fast'", "number"]),
        ({"schedule": "brust"}, ["schedule", "brust", "constant"]),
        ({"topics": "a b"}, ["topics", "a b", "blanks"]),
        ({"rounds": -1}, ["rounds", "-1"]),
    ],
)
def test_bad_fields_are_named(fields, words):
    with pytest.raises(UsageError) as caught:
        parse_scenario(fields, where="x.toml")
    message = str(caught.value)
    assert "\n" not in message
    for word in ["x.toml", *words]:
        assert word in message


SESSIONS = {"topic_arrivals_hz": 1.5, "stamp": "compact"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"topic_lifetime_s": 10}, ["topic_lifetime_s = 10", "give two numbers", "[5, 60]"]),
        ({"topic_lifetime_s": [5, 6, 7]}, ["topic_lifetime_s", "give two numbers"]),
        ({"topic_lifetime_s": [60, 5]}, ["topic_lifetime_s = [60, 5]", "the minimum, 0.01 or more"]),
        ({"topic_lifetime_s": [1e-9, 1e-9]}, ["topic_lifetime_s", "the minimum, 0.01 or more"]),
        ({"topic_lifetime_s": [5, float("inf")]}, ["topic_lifetime_s", "finite", "shortest and longest session"]),
        ({"topic_rate_hz": [0.0001, 0.0002]}, ["topic_rate_hz", "0.01 or more"]),
        ({"topic_rate_hz": [1e308, 1e308]}, ["topic_rate_hz", "100,000 or less"]),
        ({"topic_payload_bytes": [0, 5000]}, ["topic_payload_bytes", "4,096 or less"]),
        ({"topic_arrivals_hz": 10_000}, ["topic_arrivals_hz = 10000", "1,000,000 is the maximum", "lower it"]),
    ],
)
def test_bad_fields_of_sessions_are_named_as_they_were_given(fields, words):
    with pytest.raises(UsageError) as caught:
        parse_scenario(SESSIONS | fields, where="x.toml")
    for word in ["x.toml", *words]:
        assert word in str(caught.value)
    assert "rate_hz = " not in str(caught.value).replace("topic_rate_hz = ", ""), "that field was not given"


def test_the_rarest_sessions_are_a_scenario_too():
    assert parse_scenario(SESSIONS | {"topic_arrivals_hz": 1e-5}, where="x.toml").sessions is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("topic_arrivals_hz = 1\nrate_hz = 5", ["rate_hz = 5", "follows from topic_arrivals_hz", "leave it out"]),
        ("topic_arrivals_hz = 1\nclients = 9", ["clients = 9", "follows from topic_arrivals_hz"]),
        ("topic_arrivals_hz = 1\npayload_bytes = 0", ["payload_bytes = 0", "topic_payload_bytes"]),
        ("topic_arrivals_hz = 1\ntopics = 'a,b'", ["topics = a,b", "a topic of its own"]),
        ("topic_arrivals_hz = 1\nschedule = 'burst'", ["schedule = burst", "Poisson process"]),
        ("late_join = 0.1", ["late_join = 0.1", "only sessions have it", "topic_arrivals_hz"]),
        ("topic_arrivals_hz = 0\nclients_per_topic = 2", ["clients_per_topic = 2", "only sessions have it"]),
    ],
)
def test_a_field_without_a_meaning_is_refused_instead_of_ignored(text, words, tmp_path):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_scenario(str(tmp_path / "x.toml"), FOLDER)
    for word in ["x.toml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("fields", [{"payload_bytes": 500}, {"topics": "a,b"}, {"clients": 5}, {"rate_hz": 5.0}])
def test_an_option_without_a_meaning_for_sessions_is_refused(fields):
    tokens = load_scenario("tokens", FOLDER)
    with pytest.raises(UsageError, match=r"the command line: .* copy the scenario's file"):
        tokens.with_fields(**fields)
    assert tokens.with_fields(duration_s=5, replicas=3, seed=9, generator_processes=2).replicas == 3


def test_overrides_are_checked_too():
    with pytest.raises(UsageError, match="clients = 0"):
        Scenario().with_fields(clients=0)
    assert Scenario().with_fields(clients=7, replicas=None).clients == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [("broadcst", "did you mean 'broadcast'"), ("nowhere/x.toml", "No such file"), ("bad.toml", "not TOML")],
)
def test_a_missing_or_broken_file_is_named(name, words, tmp_path):
    (tmp_path / "bad.toml").write_text("clients = ")
    with pytest.raises(UsageError, match=words):
        load_scenario(str(tmp_path / name) if name == "bad.toml" else name, FOLDER)
