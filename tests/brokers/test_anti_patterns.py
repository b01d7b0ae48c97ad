"""Anti-patterns: contenders that take part only if they are named, and only in what their own server can do."""

import pytest

from brokers import extras, per_client_server
from brokers.anti_patterns import ANTI_PATTERNS, anti_pattern
from brokers.conformance import run_conformance
from brokers.contenders import all_contenders, cluster_contenders, find_contender
from brokers.registry import open_endpoint
from core.errors import UsageError
from core.scenario import Scenario
from harness.commands.compare import compare_command
from harness.commands.demo import demo_command
from harness.commands.hop import hop_command
from harness.runner.contenders import choose_contenders

NAMES = [contender.name for contender in ANTI_PATTERNS]


def test_clusters_are_found_only_by_name():
    others = {contender.name for contender in (*all_contenders(), *cluster_contenders())}
    assert not others & set(NAMES)
    assert [find_contender(name) for name in NAMES] == list(ANTI_PATTERNS)
    for every, clusters in ((False, False), (True, False), (False, True)):
        assert not {one.name for one in choose_contenders([], every, clusters=clusters)} & set(NAMES)
    assert not any(contender.anti_pattern or contender.server for contender in all_contenders())


@pytest.mark.parametrize("contender", ANTI_PATTERNS, ids=lambda contender: contender.name)
def test_each_says_what_is_wrong_and_makes_the_promise_of_an_adapter(contender):
    _, endpoint = open_endpoint(contender.url.format_map({"redis": "h:1", "amqp": "h:1"}), contender.delivery)
    assert endpoint.delivery == contender.delivery
    assert anti_pattern(f"{contender.name}#2") == anti_pattern(contender.name) == contender.anti_pattern != ""
    assert anti_pattern("valkey") == ""


def test_an_unsupported_use_is_refused_with_the_reason(tmp_path):
    name, scenario = "valkey-per-client", Scenario()
    with pytest.raises(UsageError, match=f"'{name}' has its own server, which has no WebSocket; use it with"):
        compare_command([name], False, scenario, tmp_path, False, transports=("sse", "ws"))
    with pytest.raises(UsageError, match="no page"):
        demo_command(name, scenario, 0)
    with pytest.raises(UsageError, match="no hop without SSE"):
        hop_command([name], scenario, False)
    with pytest.raises(UsageError, match="no adapter"):
        run_conformance(name, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_server_and_a_missing_library_are_named(monkeypatch, tmp_path):
    contender = find_contender("sse-starlette")
    assert per_client_server.server_missing() is None
    monkeypatch.setattr(extras, "distribution", only_without("sse-starlette", extras.distribution))
    with pytest.raises(UsageError, match=r"sse-starlette is not installed: pip install 'fanbench\[anti-patterns\]'"):
        contender.require_runnable()
    monkeypatch.setattr(per_client_server, "resource_folder", lambda _: tmp_path)
    with pytest.raises(UsageError, match=f"its server is not installed: {tmp_path} is missing"):
        contender.require_runnable()
    assert not contender.runnable
    assert str(tmp_path) in contender.install_hint


def only_without(name, distribution):
    """`importlib.metadata.distribution` on a machine without a package."""

    def found(wanted):
        if wanted == name:
            raise extras.PackageNotFoundError(wanted)
        return distribution(wanted)

    return found
