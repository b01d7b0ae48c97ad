"""A missing client library is named with its extra, wherever its broker is requested."""

import json
import shutil
import subprocess
from importlib.metadata import EntryPoint, PathDistribution, entry_points

import pytest

from brokers.extras import not_installed
from brokers.registry import GROUP
from tests.environments import without

ADVICE = "aiomqtt is not installed: pip install 'fanbench[mqtt]'"


@pytest.fixture(scope="module")
def python(integration, tmp_path_factory):
    """The Python of an environment without aiomqtt."""
    return without(tmp_path_factory.mktemp("environment"), "aiomqtt")


def run(python, folder, *words):
    return subprocess.run([python, "-P", "-m", *words], cwd=folder, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize(
    "words",
    [
        ["harness.commands.cli", "compare", "mosquitto", "-s", "smoke", "--rounds", "1"],
        ["harness.commands.cli", "compare", "mqtts://127.0.0.1:1"],
        ["harness.commands.cli", "capacity", "nats-mqtt"],
        ["harness.commands.cli", "faults", "mosquitto-qos1"],
        ["harness.commands.cli", "conformance", "mosquitto"],
        ["harness.commands.cli", "conformance", "mqtt://127.0.0.1:1"],
        ["harness.commands.cli", "hop", "mosquitto"],
        ["harness.commands.cli", "demo", "rabbitmq-mqtt"],
        ["server", "--broker-url", "mqtt://127.0.0.1:1"],
        ["generator", "--broker-url", "mqtts://127.0.0.1:1"],
    ],
    ids=lambda words: " ".join(words).removeprefix("harness.commands."),
)
def test_it_is_reported_before_anything_starts(python, tmp_path, words):
    done = run(python, tmp_path, *words)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert ADVICE in line
    assert list(tmp_path.iterdir()) == [], "nothing was measured"


def test_doctor_distinguishes_it_from_a_broken_plug_in(python, tmp_path):
    done = run(python, tmp_path, "harness.commands.cli", "doctor", "--json")
    found = json.loads(done.stdout)
    schemes = ("mqtt", "mqtt+ws", "mqtt+wss", "mqtts")
    assert found["not_installed"] == dict.fromkeys(schemes, ADVICE)
    assert "mqtt" not in found["broken_plugins"]
    rows = {row["name"]: row for row in found["contenders"]}
    assert not rows["mosquitto"]["runnable"]
    assert not rows["nats-mqtt"]["runnable"]
    assert rows["nats"]["runnable"]
    assert rows["nats-mqtt"]["how"] == ADVICE


@pytest.mark.usefixtures("integration")
def test_an_installed_but_broken_library_is_a_broken_plug_in(tmp_path_factory):
    python = without(tmp_path_factory.mktemp("environment"))
    library = next(python.parents[1].glob("lib/python*/site-packages/aiomqtt"))
    library.unlink()
    library.mkdir()
    (library / "__init__.py").write_text("import a_module_that_nobody_has\n")
    done = run(python, library.parent, "harness.commands.cli", "doctor", "--json")
    found = json.loads(done.stdout)
    assert "a_module_that_nobody_has" in found["broken_plugins"]["mqtt"]
    assert found["not_installed"] == {}
    assert done.returncode == 1


def package(folder, name, requires, entry):
    """The metadata of a package, as pip writes them, and its entry point."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    shutil.rmtree(info, ignore_errors=True)
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", "Provides-Extra: fast"]
    (info / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {one}" for one in requires]) + "\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {entry}\n")
    return info


@pytest.mark.parametrize(
    ("requires", "entry", "advice"),
    [
        (["pytest"], "a:b", None),
        (["pytest", "no-such-library>=2"], "a:b", "no-such-library is not installed: pip install 'no-such-library>=2'"),
        (["no-such-library ; extra == 'fast'"], "a:b", None),
        (
            ["no-such-library ; extra == 'fast'"],
            "a:b [fast]",
            "no-such-library is not installed: pip install 'mine[fast]'",
        ),
        (["other-library"], "a:b [fast]", None),
        (["no-such-library ; python_version < '3'"], "a:b", None),
        (["indirect"], "a:b", "no-such-library is not installed: pip install 'no-such-library>1'"),
    ],
)
def test_the_advice_comes_from_the_packages_metadata(tmp_path, monkeypatch, requires, entry, advice):
    monkeypatch.syspath_prepend(tmp_path)
    package(tmp_path, "indirect", ["no-such-library>1"], "c:d")
    entries = PathDistribution(package(tmp_path, "mine", requires, entry)).entry_points
    assert not_installed(next(iter(entries))) == advice


def test_an_entry_point_without_a_package_is_ignored():
    assert not_installed(EntryPoint("mine", "a:b", GROUP)) is None


def test_every_built_in_adapter_with_a_library_names_its_extra():
    ours = {entry.name: entry.extras for entry in entry_points(group=GROUP) if entry.value.startswith("brokers.")}
    assert ours.pop("memory") == []
    assert all(len(extras) == 1 for extras in ours.values()), ours
