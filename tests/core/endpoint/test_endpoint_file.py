"""An endpoint file: what it may contain, what is refused and why, and the settings for load and generator."""

import json

import pytest

from core.endpoint.compared import Service
from core.endpoint.dialect import Dialect, load_dialect
from core.endpoint.endpoint_file import load_endpoint
from core.errors import UsageError
from core.resources import resource_folder
from core.scenario import Scenario, load_scenario

SHIPPED = resource_folder("dialects")
URL = 'url = "http://127.0.0.1:8000"\n'
HTTPS = '[endpoint]\nurl = "https://hub.test"\npath = "/sse/{topic}"\npublish = "POST /publish/{topic}"\n'
USUAL = f'[endpoint]\n{URL}path = "/sse/{{topic}}"\npublish = "POST /publish/{{topic}}"\n'


@pytest.fixture
def endpoint_of(tmp_path):
    def load(text):
        path = tmp_path / "hub.toml"
        path.write_text(text, encoding="utf-8")
        return load_endpoint(str(path), SHIPPED)

    return load


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('stamp = "data"\n', r"has no table \[endpoint\].*add one with url, path and publish"),
        ("endpoint = 3\n", r"has no table \[endpoint\]"),
        (USUAL + 'pth = "/sse"\n', r"unknown field 'pth' of \[endpoint\]; did you mean 'path'\?"),
        (f'[endpoint]\n{URL}path = "/sse"\n', r"\[endpoint\] lacks publish; it takes: 'POST /PATH'"),
        (USUAL.replace(URL, ""), "neither program nor url; add url = 'http://HOST:PORT'"),
        (USUAL + 'program = "nchan"\n', "program = 'nchan' and url = 'http://127.0.0.1:8000': .*leave one of them out"),
        (USUAL.replace("http:", "ftp:"), r"url = 'ftp://127.0.0.1:8000': .*give it as http://HOST:PORT"),
        (USUAL.replace("/sse", "sse"), "path = 'sse/{topic}': a path begins with a slash"),
        (USUAL.replace("/sse", "http://h/sse"), "path = 'http://h/sse/{topic}': it has a host, which belongs in url"),
        (USUAL.replace("{topic}", "{room}"), r"path = '/sse/\{room\}': \{room\} is not known"),
        (USUAL.replace("POST", "GET"), "publish = 'GET /publish/{topic}': .*not a method and an address"),
        (USUAL + 'publish_body = "{topic}"\n', "publish = .*: body: it does not contain the event"),
        (USUAL + "publish_pipeline = 0\n", "publish_pipeline = 0: .*It takes: requests under way"),
        (USUAL + 'name = "a b"\n', "name = 'a b': .*up to 64 letters"),
        (USUAL + 'dialect = "mercur"\n', r"no dialect 'mercur'; did you mean 'mercure'\?"),
        ('seq = "data.n"\n' + USUAL + 'dialect = "nchan"\n', "dialect = 'nchan', and the file has seq of its own"),
        ('seqq = "data.n"\n' + USUAL, r"unknown field 'seqq' of a dialect; did you mean 'seq'\?"),
        ('seq = "data.n"\n' + USUAL, "does not say where fanbench's stamp is .*add stamp = 'data'"),
        (USUAL + 'headers = ["Authorization"]\n', "headers: 'Authorization: …': give 'Name: value'"),
        (USUAL + 'headers = ["Host: a"]\n', "headers: 'Host: …': Host follows from the rest"),
        (
            USUAL + 'publish_headers = ["X-API-Key: ${NO_SUCH_KEY}"]\n',
            "publish_headers: 'X-API-Key: …': the environment has no variable NO_SUCH_KEY; set it",
        ),
        ("[endpoint", "is not TOML"),
        (USUAL + 'ca_file = "ca.pem"\n', "ca_file = 'ca.pem': TLS needs an https:// address; write url = 'https://…'"),
        (USUAL + 'sni = "hub.test"\n', "sni = 'hub.test': TLS needs an https:// address"),
        (HTTPS + 'client_key = "key.pem"\n', "client_key = 'key.pem': the certificate is missing; add client_cert"),
        (USUAL + 'prepare = "GET /{topic}"\n', r"prepare = 'GET /\{topic\}': .*not a method and an address"),
        (
            USUAL.replace("POST /", "POST http://{control}/"),
            r"publish = .*\{control\} is a port of a program that fanbench starts",
        ),
    ],
)
def test_an_invalid_endpoint_is_refused_with_the_reason(endpoint_of, tmp_path, text, says):
    with pytest.raises(UsageError, match=says) as refused:
        endpoint_of(text)
    assert str(tmp_path / "hub.toml") in str(refused.value)


def test_an_unknown_name_gets_the_nearest_endpoint():
    with pytest.raises(UsageError, match=r"no endpoint 'nchn'; did you mean 'nchan'\?"):
        load_endpoint("nchn", SHIPPED)
    with pytest.raises(UsageError, match=r"dialects/mercure.toml: it has no table \[endpoint\]"):
        load_endpoint("mercure", SHIPPED)


@pytest.mark.parametrize(("name", "contender"), [("nchan", "nchan"), ("sse-starlette", "sse-starlette-hub")])
def test_fanbenchs_endpoint_files_are_also_dialects(name, contender):
    endpoint = load_endpoint(name, SHIPPED)
    assert (endpoint.name, endpoint.program, endpoint.url) == (contender, name, "")
    at = Service("http://127.0.0.1:81/")
    assert endpoint.request_at(endpoint.publish, at) == "POST http://127.0.0.1:81/publish?topic={topic}"
    assert load_dialect(name, SHIPPED).id == "id"


def test_only_the_stamp_is_read_so_that_clients_may_be_in_several_processes(endpoint_of, tmp_path):
    own = endpoint_of(
        'stamp = "data.m"\nid = "{stream}-{seq}"\nsent = "data.ts"\nunit = "ms"\nignore = ["ping"]\n' + USUAL
    )
    assert own.dialect == Dialect(name="hub", stamp="data.m", ignore=("ping",))
    assert own.dialect.needs_stamp
    named = endpoint_of(USUAL + 'dialect = "centrifugo"\n')
    assert (named.dialect.stamp, named.dialect.only, named.dialect.seq) == ("data.pub.data", "data.pub", "")
    assert endpoint_of(USUAL).dialect.stamp == "data"
    for endpoint in (own, named):
        (tmp_path / "written.toml").write_text(endpoint.dialect_text(), encoding="utf-8")
        assert load_dialect(str(tmp_path / "written.toml"), SHIPPED) == endpoint.dialect


def test_load_and_generator_get_the_files_settings(endpoint_of, monkeypatch):
    monkeypatch.setenv("HUB_KEY", "hunter2, too")
    endpoint = endpoint_of(
        USUAL + 'headers = ["Accept: a, b", "X-Key: ${HUB_KEY}"]\npublish_headers = ["X-Key: ${HUB_KEY}", "X-B: 1"]\n'
        'publish_body = "{event:form}"\npublish_connections = 2\n'
    )
    assert "hunter2" not in repr(endpoint)
    load = endpoint.load_settings(endpoint.url, "d.toml")
    assert json.loads(str(load.pop("load_header"))) == ["Accept: a, b", "X-Key: hunter2, too"]
    assert load == {"load_path": "/sse/{topic}", "load_dialect": "d.toml", "load_wait": 0}
    assert endpoint.generator_settings(Service(endpoint.url)) == {
        "publish": "POST http://127.0.0.1:8000/publish/{topic}",
        "publish_body": "{event:form}",
        "publish_connections": 2,
        "publish_pipeline": 16,
        "header": "X-Key: hunter2, too\nX-B: 1",
    }


def test_events_may_be_published_at_another_address(endpoint_of):
    elsewhere = endpoint_of(USUAL.replace("POST /publish", "PUT http://127.0.0.1:9000/api"))
    at = Service(elsewhere.url)
    assert elsewhere.request_at(elsewhere.publish, at) == "PUT http://127.0.0.1:9000/api/{topic}"


def test_clients_and_publisher_get_tls_with_files_next_to_the_endpoint_file(endpoint_of, tmp_path):
    fields = 'ca_file = "tls/ca.pem"\nsni = "hub.test"\nclient_cert = "/etc/me.pem"\nclient_key = "key.pem"\n'
    endpoint = endpoint_of(HTTPS + fields)
    expected = {
        "ca_file": str(tmp_path / "tls" / "ca.pem"),
        "sni": "hub.test",
        "client_cert": "/etc/me.pem",
        "client_key": str(tmp_path / "key.pem"),
    }
    load = endpoint.load_settings(endpoint.url, "d.toml")
    assert {
        name.removeprefix("load_"): value for name, value in load.items() if name.removeprefix("load_") in expected
    } == expected
    generator = endpoint.generator_settings(Service(endpoint.url))
    assert {name: generator[name] for name in expected} == expected
    # Without https:// at one of the two, it is given no files, which it would refuse.
    mixed = endpoint_of((HTTPS + fields).replace("POST /publish", "POST http://127.0.0.1:9000/publish"))
    assert not expected.keys() & mixed.generator_settings(Service(mixed.url)).keys()
    assert "load_ca_file" in mixed.load_settings(mixed.url, "d.toml")


def test_a_program_may_accept_events_at_another_port_and_need_topics_to_be_created():
    pushpin, streams = (load_endpoint(name, SHIPPED) for name in ("pushpin", "durable-streams"))
    at = Service("http://127.0.0.1:81", {"http": "127.0.0.1:81", "control": "127.0.0.1:82"})
    assert pushpin.generator_settings(at)["publish"] == "POST http://127.0.0.1:82/publish/"
    assert streams.request_at(streams.prepare, at) == "PUT http://127.0.0.1:81/v1/stream/{topic}"


@pytest.mark.parametrize(
    ("text", "fields", "says"),
    [
        (
            USUAL.replace("sse/{topic}", "sse"),
            {"topics": "a,b"},
            r"path = '/sse' names no topic.*put \{topic\} into path",
        ),
        (USUAL.replace("publish/{topic}", "publish"), {"topics": "a,b"}, r"publish = 'POST /publish' names no topic"),
        (USUAL, {"stamp": "compact"}, 'use stamp = "readable"'),
    ],
)
def test_a_scenario_that_cannot_be_run_there_is_refused(endpoint_of, text, fields, says):
    endpoint = endpoint_of(text)
    endpoint.require_usable(Scenario())
    with pytest.raises(UsageError, match=says):
        endpoint.require_usable(Scenario(**fields))


def test_sessions_are_refused(endpoint_of):
    sessions = load_scenario("tokens", resource_folder("scenarios"))
    assert sessions.sessions is not None
    with pytest.raises(
        UsageError, match="has sessions, which only fanbench's replicas can serve; leave out --endpoint"
    ):
        endpoint_of(USUAL).require_usable(sessions)
