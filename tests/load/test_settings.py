"""Options: each invalid one is refused in one line with its name, the reason and valid values."""

import time
from types import SimpleNamespace

import pytest

from core.contracts.codec import write
from core.contracts.session_rules import SessionRules
from core.errors import UsageError
from load.session_factory import require_ahead, require_descriptors
from load.settings import LoadSettings, read_settings
from tests.truth.measuring import ROOT


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"topic": "a b"}, "--topic 'a b'"),
        ({"topic_skew": 9.0}, "--topic-skew 9.0"),
        ({"drain": -1}, "--drain -1"),
        ({"out": "/nowhere/x.json"}, "--out '/nowhere/x.json': its directory"),
        ({"status": "/nowhere/x.json"}, "--status '/nowhere/x.json': its directory"),
        ({"out": "/dev/full"}, "--out '/dev/full': it is not a regular file"),
        ({"out": "/tmp"}, "--out '/tmp': it is a directory"),
    ],
)
def test_bad_values_are_refused(options, says):
    with pytest.raises(UsageError, match=says):
        read_settings(SimpleNamespace(**options))


@pytest.mark.parametrize(
    ("replicas", "host", "says"),
    [
        ("", None, "no server"),
        (" , ", "", "no server"),
        ("", "ftp://x", "is not an http"),
        ("http://a,b", None, "'b'"),
    ],
)
def test_without_a_usable_replica_there_is_nothing_to_do(replicas, host, says):
    with pytest.raises(UsageError, match=says):
        LoadSettings(replicas=replicas).origins(host)


def test_replicas_override_the_host():
    settings = LoadSettings(replicas="http://a:1, http://b:2")
    assert [origin.authority for origin in settings.origins("http://c:3")] == ["a:1", "b:2"]
    assert [origin.authority for origin in LoadSettings().origins("http://c:3")] == ["c:3"]


def test_more_clients_than_open_files_are_refused_before_anything_starts():
    with pytest.raises(UsageError, match=r"99999999 clients need 100000099 open files.*more --processes"):
        require_descriptors(99_999_999)


def test_sessions_that_nothing_begins_are_refused(tmp_path):
    rules = SessionRules(
        arrivals_hz=1, lifetime_s=(1, 2), rate_hz=(1, 2), payload_bytes=(4, 9), warmup_s=0, duration_s=4
    )
    file = tmp_path / "sessions.json"
    write(rules, file)
    with pytest.raises(UsageError, match=r"nothing says when the sessions begin.* starts_ns .* or give --control"):
        read_settings(SimpleNamespace(sessions=str(file))).rules()
    assert read_settings(SimpleNamespace(sessions=str(file), control=str(tmp_path / "control"))).rules() == rules
    ahead = rules.started(time.time_ns() + 10**12)
    write(ahead, file)
    assert read_settings(SimpleNamespace(sessions=str(file))).rules() == ahead
    require_ahead(ahead)
    with pytest.raises(UsageError, match=r"was \d+\.\d s ago; write a later instant"):
        require_ahead(rules.started(time.time_ns() - 10**10))


def test_every_option_is_documented():
    text = (ROOT / "docs" / "load.md").read_text()
    for name, field in LoadSettings.model_fields.items():
        assert f"`--{name.replace('_', '-')}" in text
        assert f"`FANBENCH_LOAD_{name.upper()}`" in text
        assert field.description
