"""The valid options of a deployment, and the error for each invalid one."""

import socket
from pathlib import Path

import pytest
import yaml

from brokers.contender import Broker
from brokers.contenders import find_contender
from core.contracts.session_rules import SessionRules
from core.errors import FanbenchError, UsageError
from core.fault import KINDS, Fault
from core.ports import free_port
from core.scenario import Scenario
from generator.settings import GeneratorSettings
from harness.commands.faults import choose_faults
from harness.runner.deployment import Deployment, parse_deployment
from harness.runner.faults import impossible
from harness.runner.processes import child_env, history_limits, replica_limits
from harness.runner.set_up_elsewhere import joining, publishing, require_master_port

TWO = "http://a:8000,http://b:8000"
NATS = find_contender("nats://10.0.0.5")
SECRET = "a-m4rked-s3cret-of-32-characters"


def parsed(
    replicas_at=TWO,
    clients_at="",
    workers=None,
    master_at="",
    run_name="",
    deploy="",
    breaking="",
    mending="",
    generators=None,
    generators_at="",
):
    return parse_deployment(
        replicas_at, clients_at, workers, master_at, run_name, deploy, breaking, mending, generators, generators_at
    )


def test_the_generator_compares_its_clock_with_the_replicas(monkeypatch):
    settings = publishing(NATS, Scenario(), Broker(NATS.url), parsed())
    for name, value in child_env(settings).items():
        if name.startswith("FANBENCH_"):
            monkeypatch.setenv(name, value)
    assert GeneratorSettings().replica_urls() == TWO.split(",")


def test_without_replicas_there_is_no_deployment():
    assert parsed(replicas_at="") is None


def test_clients_connect_to_the_replicas_unless_told_otherwise():
    assert parsed() == Deployment(
        ("http://a:8000", "http://b:8000"), ("http://a:8000", "http://b:8000"), 1, "127.0.0.1", 5557
    )
    assert parsed(clients_at="http://proxy/", master_at="[::]:7000").clients_at == ("http://proxy",)
    assert parsed(master_at="[::]:7000").master_at == "[::]:7000"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"replicas_at": "", "deploy": "true"}, "--deploy needs replicas that run elsewhere: give --replicas-at"),
        ({"replicas_at": "", "workers": 3}, "--workers-expected needs replicas"),
        ({"replicas_at": "https://a"}, "--replicas-at https://a: give http://HOST:PORT"),
        ({"replicas_at": "http://a/sse"}, "--replicas-at http://a/sse: give http://HOST:PORT without a path"),
        ({"replicas_at": "http://a,http://a/"}, "--replicas-at http://a: occurs twice"),
        ({"replicas_at": "http://a:port"}, "give http://HOST:PORT"),
        ({"clients_at": "http://me:s3cret@proxy"}, "--clients-at http://me:\\*\\*\\*@proxy: give"),
        ({"replicas_at": "", "workers": 0}, "--workers-expected needs replicas"),
        ({"replicas_at": "", "generators": 0}, "--generators-expected needs replicas"),
        ({"workers": 0}, "--workers-expected 0: must be at least 1"),
        ({"master_at": "5557"}, "--master-at 5557: give HOST:PORT"),
        ({"run_name": "a b"}, "--run-name 'a b': up to 64"),
        ({"breaking": "x"}, "--break without --mend"),
        ({"mending": "x"}, "--mend without --break"),
        ({"replicas_at": "", "generators": 2}, "--generators-expected needs replicas"),
        ({"generators": 0}, "--generators-expected 0: must be at least 1"),
        ({"generators_at": "5560"}, "--generators-at 5560: give HOST:PORT, for instance 0.0.0.0:5560"),
    ],
)
def test_an_impossible_combination_is_refused_with_the_reason(given, words):
    with pytest.raises(UsageError, match=words):
        parsed(**given)


def test_a_token_that_no_replica_can_have_is_refused(monkeypatch):
    monkeypatch.setenv("FANBENCH_LOAD_TOKEN", "s3cret\n")
    with pytest.raises(UsageError, match="FANBENCH_LOAD_TOKEN: a token is printable text"):
        parsed()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "*"])
def test_a_master_at_a_free_port_can_listen(host):
    require_master_port(parsed(master_at=f"{host}:{free_port()}"))


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no.such.host.invalid"])
def test_a_master_that_cannot_listen_is_an_error_before_anything_is_deployed(host):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            FanbenchError, match=f"--master-at {host}:{port}: .*; give an address of this machine"
        ) as raised:
            require_master_port(parsed(master_at=f"{host}:{port}"))
    assert not raised.value.transient


def test_the_workload_has_as_many_replicas_as_there_are():
    deployment = parsed()
    assert deployment.workload(Scenario(replicas=7)).replicas == 2
    with pytest.raises(UsageError, match="--replicas 3: --replicas-at names 2"):
        deployment.workload(Scenario(), 3)
    with pytest.raises(UsageError, match="--load-processes 2: with --replicas-at"):
        deployment.workload(Scenario(load_processes=2))


def test_generators_that_join_share_the_topics_of_the_workload(monkeypatch, tmp_path):
    monkeypatch.setenv("FANBENCH_JOIN_SECRET", SECRET)
    deployment = parsed(generators=2, generators_at="0.0.0.0:6000", run_name="mine")
    assert (deployment.generators, deployment.generators_at) == (2, "0.0.0.0:6000")
    assert parsed(generators_at="[::1]:6000").generators == 1
    assert deployment.workload(Scenario(topics="a,b")).topics == "a,b"
    with pytest.raises(UsageError, match="--generators-expected 2: the workload has 1 topics"):
        deployment.workload(Scenario())
    with pytest.raises(UsageError, match="--generator-processes 2: with --generators-expected"):
        deployment.workload(Scenario(topics="a,b", generator_processes=2))
    settings = joining(deployment, tmp_path)
    assert {"join_at": "0.0.0.0:6000", "processes": 2, "run_name": "mine"}.items() <= settings.items()
    assert settings["join_secret"] == SECRET
    assert SECRET not in repr(deployment)
    assert joining(parsed(), tmp_path) == {}


def test_where_other_machines_may_join_a_secret_is_needed(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match=r"--generators-at 0.0.0.0:6000: other machines reach .*FANBENCH_JOIN_SECRET"):
        parsed(generators_at="0.0.0.0:6000")
    with pytest.raises(UsageError, match=r"--generators-at \[::\]:6000: other machines reach"):
        parsed(generators_at="[::]:6000")
    assert joining(parsed(generators_at="[::1]:6000"), tmp_path)["processes"] == 1
    monkeypatch.setenv("FANBENCH_JOIN_OPEN", "true")
    settings = joining(parsed(generators_at="0.0.0.0:6000"), tmp_path)
    assert settings["join_open"] is True
    assert "join_secret" not in settings
    monkeypatch.setenv("FANBENCH_JOIN_CERT", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"FANBENCH_JOIN_CERT=.*none.pem: No such file"):
        parsed(generators=1)


@pytest.mark.parametrize(
    ("contenders", "transports", "words"),
    [
        ([find_contender("valkey")], ["sse"], "contender 'valkey' is a program that fanbench would start"),
        ([find_contender("memory")], ["sse"], "contender 'memory' has no broker"),
        ([], ["sse"], "name the brokers to compare by their URLs"),
        ([NATS, NATS], ["sse"], "2 contenders: replicas have one broker at a time; give --deploy"),
        ([NATS], ["sse", "ws"], "--transport sse,ws: a running worker has one locustfile"),
    ],
)
def test_an_unmeasurable_run_is_refused_with_the_reason(contenders, transports, words):
    with pytest.raises(UsageError, match=words):
        parsed().require_usable(contenders, transports)


def test_a_command_that_no_named_fault_runs_is_refused():
    broken = parsed(breaking="x", mending="y")
    with pytest.raises(UsageError, match=r"--break and --fault clients-cut: .*add --fault deployment-break"):
        choose_faults(["clients-cut"], 2.0, None, None, contenders=[NATS], deployment=broken)
    assert choose_faults(["clients-cut", "deployment-break"], 2.0, None, None, contenders=[NATS], deployment=broken)
    assert choose_faults(["clients-cut"], 2.0, None, None, contenders=[NATS], deployment=parsed())


def test_the_file_for_several_hosts_passes_on_what_a_run_needs():
    text = (Path(__file__).parents[3] / "deploy" / "compose" / "hosts.yml").read_text(encoding="utf-8")
    passed_on = set(yaml.safe_load(text)["services"]["replica"]["environment"])
    rules = SessionRules(
        arrivals_hz=1, lifetime_s=(1, 2), rate_hz=(1, 2), payload_bytes=(4, 8), warmup_s=0, duration_s=1
    )
    needed = {"broker_url", "delivery", *replica_limits(Scenario()), *history_limits(rules)}
    assert {f"FANBENCH_{name.upper()}" for name in needed} <= passed_on


def test_in_a_deployment_fanbench_only_causes_client_faults():
    can = {kind for kind in KINDS if impossible(Fault(kind=kind), NATS, parsed()) is None}
    assert can == {"clients-stall", "clients-cut", "clients-churn"}
    broken = parsed(breaking="x", mending="y")
    assert impossible(Fault(kind="deployment-break"), NATS, broken) is None
    assert "give --break CMD and --mend CMD" in (impossible(Fault(kind="deployment-break"), NATS, parsed()) or "")
    assert "--replicas-at" in (impossible(Fault(kind="deployment-break"), NATS) or "")
