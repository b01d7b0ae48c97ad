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
