"""The example plug-in, installed as a reader would, and tested on its forwarder, next to a broken plug-in."""

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from brokers import registry as registry_module
from brokers.conformance import Conformance, promises
from brokers.conformance.faults import impatient, publish_until_taken
from brokers.conformance.links import has_two_loopbacks
from brokers.conformance.workbench import Workbench, with_address
from brokers.contenders import find_contender
from brokers.errors import BrokerError
from brokers.programs.running import Running, launch
from brokers.registry import GROUP, installed
from core.ports import free_port
from core.process import spawn

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fanbench-zmq"
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
def python(integration, tmp_path_factory):
    """The interpreter of a venv with the example, a broken plug-in, and links to everything installed here."""
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


@pytest.fixture(scope="module")
def forwarder(python, tmp_path_factory):
    """The broker, running."""
    folder, port = tmp_path_factory.mktemp("forwarder"), free_port()
    log = folder / "log"
    running = Running(
        name="forwarder",
        listeners={"zmq": f"127.0.0.1:{port}"},
        data=folder / "data",
        spawn=lambda: spawn("forwarder", [python, "-m", "fanbench_zmq.forwarder", str(port)], log, cwd=folder),
        ready=lambda: log.read_text().endswith(f"127.0.0.1:{port}\n"),
    )
    with launch(running):
        yield running


@pytest.fixture(scope="module")
def url(forwarder):
    """The forwarder's URL."""
    return f"zmq://{forwarder.listeners['zmq']}"


def run(*words, allowed=(0,), **env):
    """Run a command to its end; return its output."""
    done = subprocess.run(
        [str(word) for word in words], cwd=ROOT, capture_output=True, text=True, timeout=90, env=os.environ | env
    )
    assert done.returncode in allowed, done.stdout + done.stderr
    return done.stdout


def test_doctor_lists_it_and_names_the_broken_one(python):
    findings = json.loads(run(python, "-m", "harness.commands.cli", "doctor", "--json", allowed=(1,)))
    assert findings["adapters"]["zmq"] == ["zmq"]
    assert findings["adapters"]["redis"], "the others work"
    assert list(findings["broken_plugins"]) == ["broken"]
    assert "ImportError: no module named anything" in findings["broken_plugins"]["broken"]


def test_doctor_reports_both_as_text(python):
    words = run(python, "-m", "harness.commands.cli", "doctor", allowed=(1,))
    assert "zmq (zmq)" in words
    assert "broken plug-in broken: fanbench_broken:adapter: ImportError" in words


def test_conformance_proves_every_promise_that_applies(python, url):
    missing = [needs for _, needs in promises({"link", "at-most-once", *["two loopbacks"] * has_two_loopbacks()})]
    kept, not_applicable = sum(not needs for needs in missing), sum(bool(needs) for needs in missing)
    output = run(python, "-m", "harness.commands.cli", "conformance", url)
    assert f"{kept} kept, 0 broken, {not_applicable} not applicable" in output


def test_its_own_tests_pass(python, url):
    # A few promises of the kit show that the example can import it; the command has just run all of them.
    some = ["-k", "wire or conformance and (bytes or barrier or topics)"]
    words = ["-q", "-p", "no:cacheprovider", f"--rootdir={EXAMPLE}", *some, EXAMPLE]
    output = run(python, "-m", "pytest", *words, ZMQ_URL=url)
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
        allowed=(0, 1),  # other tests may delay the generator, which refuses a run; the counts hold anyway
    )
    (stored,) = tmp_path.iterdir()
    with (stored / "summary.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["contender"] == url
    assert int(row["lost"]) == 0
    assert int(row["delivered"]) == int(row["expected"]) > 0


@pytest.fixture
def broker(forwarder, url, monkeypatch, tmp_path):
    """The kit's workbench for our own broker, unlike one given by URL."""
    monkeypatch.syspath_prepend(EXAMPLE)
    ours = [entry for entry in registry_module.entry_points(group=GROUP) if entry.value.startswith("brokers.")]
    plugin = EntryPoint("zmq", "fanbench_zmq:adapter", GROUP)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [*ours, plugin])
    installed.cache_clear()
    yield Workbench(find_contender(url), url, forwarder, tmp_path)
    installed.cache_clear()


async def test_the_forwarder_is_killed_and_comes_back(broker):
    await Conformance().test_broker_killed_and_restarted(broker)


async def test_a_forwarder_that_hangs_is_noticed(broker):
    topic = broker.topic()
    async with broker.producer(impatient(broker.endpoint())) as producer, broker.reader(topic) as (_, reader):
        broker.running.pause()
        try:
            with pytest.raises(BrokerError, match="no answer within 1 s"):
                await producer.publish(topic, b"to nobody")
        finally:
            broker.running.resume()
        await publish_until_taken(producer, topic, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "a message after it")


async def test_a_refusing_port_is_reported(broker):
    with pytest.raises(BrokerError, match="check host and port"):
        async with broker.producer(broker.endpoint(with_address(broker.url, "127.0.0.1:1"))):
            pass
