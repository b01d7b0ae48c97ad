"""The example plug-in, installed as a reader would, and proved on a real PostgreSQL server, beside a broken plug-in."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from importlib.metadata import EntryPoint
from pathlib import Path

import asyncpg
import pytest

from brokers import registry as registry_module
from brokers.conformance import Conformance, promises
from brokers.conformance.links import has_two_loopbacks
from brokers.conformance.provocations import Provocations
from brokers.conformance.workbench import Workbench, with_address
from brokers.contenders import find_contender
from brokers.errors import BrokerError
from brokers.registry import GROUP, installed
from tests.examples import postgres as server
from tests.missing import missing

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fanbench-pgnotify"
BROKEN = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fanbench-broken"
version = "0.1.0"

[project.entry-points."fanbench.brokers"]
broken = "fanbench_broken:adapter"
"""


@pytest.fixture(scope="module")
def postgres(integration):
    """The server, running."""
    programs = server.find()
    if programs is None:
        missing(f"postgresql is not installed here; {server.INSTALL_HINT}")
    with server.postgres(programs) as running:
        yield running


@pytest.fixture(scope="module")
def url(postgres):
    """The server's URL."""
    user, password = postgres.credentials
    return f"pgnotify://{user}:{password}@{postgres.listeners['postgres']}/postgres"


@pytest.fixture(scope="module")
def python(integration, tmp_path_factory):
    """The interpreter of a venv that has the example, a broken plug-in, and by reference all that is installed here."""
    folder = tmp_path_factory.mktemp("plug-ins")
    broken = folder / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text(BROKEN, encoding="utf-8")
    (broken / "fanbench_broken.py").write_text("raise ImportError('no module named anything')\n", encoding="utf-8")
    example = shutil.copytree(EXAMPLE, folder / "example", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv, "no uv here; make setup installs it"
    venv = folder / "venv"
    run(uv, "venv", "-q", "--python", sys.executable, venv)
    (packages,) = venv.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    found = venv / "bin" / "python"
    run(uv, "pip", "install", "-q", "--no-deps", "--python", found, example, broken)
    return found


def run(*words, allowed=(0,), **env):
    """Run a command to its end; its output."""
    done = subprocess.run(
        [str(word) for word in words], cwd=ROOT, capture_output=True, text=True, timeout=90, env=os.environ | env
    )
    assert done.returncode in allowed, done.stdout + done.stderr
    assert server.PASSWORD not in done.stdout + done.stderr
    return done.stdout


def test_doctor_lists_it_and_names_the_broken_one(python):
    findings = json.loads(run(python, "-m", "harness.commands.cli", "doctor", "--json", allowed=(1,)))
    assert findings["adapters"]["pgnotify"] == ["pgnotify"]
    assert findings["adapters"]["redis"], "the others work"
    assert list(findings["broken_plugins"]) == ["broken"]
    assert "ImportError: no module named anything" in findings["broken_plugins"]["broken"]


def test_doctor_tells_a_person_of_both(python):
    words = run(python, "-m", "harness.commands.cli", "doctor", allowed=(1,))
    assert "pgnotify (pgnotify)" in words
    assert "broken plug-in broken: fanbench_broken:adapter: ImportError" in words


def test_conformance_proves_every_promise_that_applies(python, url):
    missing = [
        needs for _, needs in promises({"link", "password", "at-most-once", *["two loopbacks"] * has_two_loopbacks()})
    ]
    kept, not_applicable = sum(not needs for needs in missing), sum(bool(needs) for needs in missing)
    output = run(python, "-m", "harness.commands.cli", "conformance", url)
    assert f"{kept} kept, 0 broken, {not_applicable} not applicable" in output


def test_its_own_tests_pass(python, url):
    # Of the kit, which the command has just gone through whole, a few promises: that the example gets at it.
    some = ["-k", "notices or conformance and (bytes or barrier or topics)"]
    words = ["-q", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}", *some, EXAMPLE]
    output = run(python, "-m", "pytest", *words, PGNOTIFY_URL=url)
    assert " passed" in output
    assert "skipped" not in output


def test_compare_uses_it_and_nothing_is_lost(python, url, tmp_path):
    run(
        python,
        "-m",
        "harness.commands.cli",
        "compare",
        url,
        *["-s", "smoke", "--rounds", "1", "--repeats", "0", "--out"],
        tmp_path,
        allowed=(0, 1),  # the other tests may keep the generator from being on time, which refuses a run; counts hold
    )
    (stored,) = tmp_path.iterdir()
    with (stored / "summary.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["contender"] == f"pgnotify://{url.rpartition('@')[2]}"
    assert int(row["lost"]) == 0
    assert int(row["delivered"]) == int(row["expected"]) > 0
    texts = [path.read_bytes() for path in stored.rglob("*") if path.is_file()]
    assert not [text for text in texts if server.PASSWORD.encode() in text]


@pytest.fixture
def broker(postgres, url, monkeypatch, tmp_path):
    """The kit's workbench for a server that is ours, which a broker given by URL is not."""
    monkeypatch.syspath_prepend(EXAMPLE)
    ours = [entry for entry in registry_module.entry_points(group=GROUP) if entry.value.startswith("brokers.")]
    plugin = EntryPoint("pgnotify", "fanbench_pgnotify:adapter", GROUP)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [*ours, plugin])
    installed.cache_clear()
    yield Workbench(find_contender(url), url, postgres, tmp_path, Provocations(vanish={"backend ended": end_backends}))
    installed.cache_clear()


async def end_backends(endpoint):
    """End the server's processes for the connections of this run."""
    by_name = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
    connection = await asyncpg.connect(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.username,
        password=endpoint.password,
        database=endpoint.path,
    )
    try:
        assert await connection.fetchval(by_name, endpoint.prefix)
    finally:
        await connection.close()


async def test_a_consumer_whose_backend_is_ended_is_noticed(broker):
    await Conformance().test_vanished_consumer_is_noticed(broker)


async def test_the_server_is_killed_and_comes_back(broker):
    await Conformance().test_broker_killed_and_restarted(broker)


async def test_a_wrong_password_is_a_clear_error_and_never_shown(broker):
    await Conformance().test_wrong_password(broker)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda url: url.replace("/postgres", "/nothing"), 'database "nothing" does not exist; name one that exists'),
        (lambda url: with_address(url, "127.0.0.1:1"), "check host and port"),
    ],
    ids=["database", "port"],
)
async def test_what_is_wrong_with_a_url_is_said(broker, change, says):
    with pytest.raises(BrokerError, match=says) as caught:
        async with broker.producer(broker.endpoint(change(broker.url))):
            pass
    assert server.PASSWORD not in str(caught.value)


async def test_small_messages_are_sent_at_once(broker):
    async with broker.producer() as producer, broker.consumer() as consumer:
        for line in (producer._line, consumer.line):
            connected = line.connection.connection._transport.get_extra_info("socket")
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
