"""Adapters are found by entry points; a broken one is reported by name and leaves the others working."""

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from brokers import registry as module
from brokers.registry import GROUP, installed, open_endpoint, registry
from core.errors import UsageError

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
BUILT_IN = set(PROJECT["project"]["entry-points"][GROUP])


def adapter(**changes):
    shape = {
        "name": "mine",
        "schemes": ("mine",),
        "deliveries": ("at-most-once",),
        "replay": False,
        "max_topic_bytes": 100,
        "options": (),
        "producer": print,
        "consumer": print,
    }
    return SimpleNamespace(**shape | changes)


class Raising:
    """Has a property that raises."""

    name = "raising"

    @property
    def schemes(self):
        raise RuntimeError("not today")


@pytest.fixture
def plugins(monkeypatch):
    """Installs objects as plug-ins: `plugins(name=object)`."""
    home = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "strangers_module", home)
    ours = [entry for entry in module.entry_points(group=GROUP) if entry.value.startswith("brokers.")]

    def install(**objects):
        for name, value in objects.items():
            setattr(home, name, value)
        strangers = [EntryPoint(name, f"strangers_module:{name}", GROUP) for name in objects]
        monkeypatch.setattr(module, "entry_points", lambda group: [*strangers, *ours])
        installed.cache_clear()

    yield install
    installed.cache_clear()


def test_the_built_in_adapters_are_all_there():
    found = registry()
    assert not [reason for reason in found.broken.values() if reason.startswith("brokers.")]
    assert set(found.by_scheme) >= BUILT_IN


def test_a_plug_in_is_found_and_used(plugins):
    mine = adapter()
    plugins(mine=mine)
    assert open_endpoint("mine://h")[0] is mine


@pytest.mark.parametrize("scheme", sorted(BUILT_IN))
def test_a_plug_in_cannot_take_a_built_in_scheme_whatever_its_name(plugins, scheme):
    theirs = adapter(schemes=(scheme,))
    plugins(**{scheme: theirs})
    host = "/a.sock" if scheme.endswith("unix") else "h"
    assert open_endpoint(f"{scheme}://{host}")[0] is not theirs
    assert f"scheme {scheme}:// is fanbench's own" in str(registry().broken)


def test_two_plug_ins_with_one_scheme_are_named_and_neither_is_used(plugins, monkeypatch):
    plugins(mine=adapter())
    both = [EntryPoint("mine", f"strangers_module:{name}", GROUP) for name in ("mine", "other")]
    monkeypatch.setattr(module, "entry_points", lambda group: both)
    installed.cache_clear()
    with pytest.raises(UsageError, match="strangers_module:mine and strangers_module:other both serve mine://"):
        open_endpoint("mine://h")


def test_one_adapter_has_an_entry_point_for_each_of_its_schemes(plugins):
    two = adapter(schemes=("one", "two"))
    plugins(one=two, two=two, three=two)
    assert open_endpoint("one://h")[0] is open_endpoint("two://h")[0] is two
    with pytest.raises(UsageError, match="the entry point is named three, its schemes are one, two"):
        open_endpoint("three://h")


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    ("url", "library"),
    [
        ("redis://h", "redis"),
        ("rediss+streams://h", "redis"),
        ("amqps://h", "aio_pika"),
        ("amqp+stream://h", "aio_pika"),
        ("mqtts://h", "aiomqtt"),
        ("nats+js+tls://h", "nats"),
        ("memory://", None),
    ],
)
def test_only_the_library_of_the_scheme_is_imported(url, library):
    code = (
        "import sys; from brokers.registry import open_endpoint; open_endpoint(sys.argv[1]);"
        "print(*{'redis', 'aio_pika', 'aiomqtt', 'nats'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ([library] if library else [])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (SimpleNamespace(name="half"), "has no schemes"),
        (adapter(schemes=("redis",)), "the entry point is named bad"),
        (adapter(schemes=None), "schemes=None, which is not a tuple"),
        (adapter(schemes="mine"), "schemes='mine', which is not a tuple"),
        (adapter(schemes=()), "which is not a tuple"),
        (adapter(schemes=("mi ne",)), "which is not a tuple of URL schemes"),
        (adapter(name=None), "name=None"),
        (adapter(deliveries=()), "deliveries=()"),
        (adapter(deliveries=("exactly-once",)), "not a tuple of at-most-once, at-least-once"),
        (adapter(options=None), "options=None"),
        (adapter(options={"a": "b"}), "not a tuple of Option"),
        (adapter(max_topic_bytes=0), "not a number of bytes"),
        (adapter(producer=None), "producer=None, which is not a method"),
        (adapter(delivery_options=3), "delivery_options=3"),
        (SimpleNamespace, "is a class"),
        (None, "has no name, schemes, deliveries, replay, max_topic_bytes"),
        (Raising(), "RuntimeError: not today"),
    ],
)
def test_a_broken_plug_in_is_named_and_the_others_work(plugins, broken, reason):
    plugins(bad=broken, mine=adapter())
    found = registry()
    assert reason in found.broken["bad"]
    assert set(found.by_scheme) == BUILT_IN | {"mine"}
    assert [one.name for one in found.adapters() if one.name == "mine"] == ["mine"]


def test_a_plug_in_cannot_end_the_program(plugins, tmp_path, monkeypatch):
    plugins(mine=adapter())
    (tmp_path / "ends_at_import.py").write_text("raise SystemExit('I need Linux')\n")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [EntryPoint("ends", "ends_at_import:adapter", GROUP), *module.entry_points(group=GROUP)]
    monkeypatch.setattr(module, "entry_points", lambda group: entries)
    installed.cache_clear()
    found = registry()
    assert "SystemExit: I need Linux" in found.broken["ends"]
    assert set(found.by_scheme) == BUILT_IN | {"mine"}


def test_an_import_error_is_reported_when_its_scheme_is_requested(plugins):
    plugins(mine=adapter())
    sys.modules["strangers_module"].__dict__.pop("mine")
    with pytest.raises(UsageError, match=r"its adapter is broken.*AttributeError"):
        open_endpoint("mine://h")


@pytest.mark.parametrize(
    ("url", "delivery", "says"),
    [
        ("rediss2://h", None, "did you mean 'rediss'"),
        ("redis://h?bufer=1", None, "did you mean 'buffer'"),
        ("redis://h", "at-least-once", "does not promise at-least-once"),
        ("mqtt://h?qos=2", None, "option qos='2'"),
        ("mqtt://h?qos=1", "at-most-once", "leave one out"),
    ],
)
def test_what_cannot_be_used_is_named(url, delivery, says):
    with pytest.raises(UsageError, match=says):
        open_endpoint(url, delivery)


@pytest.mark.parametrize(
    ("url", "delivery", "expected"),
    [
        ("redis://h", None, "at-most-once"),
        ("mqtt://h", None, "at-most-once"),
        ("mqtt://h?qos=1", None, "at-least-once"),
        ("mqtt://h?qos=1", "at-least-once", "at-least-once"),
        ("amqp://h?confirms=true", None, "at-least-once"),
        ("amqp://h", "at-least-once", "at-least-once"),
        ("nats+js://h", None, "at-least-once"),
    ],
)
def test_the_delivery_by_name_by_option_or_by_default(url, delivery, expected):
    assert open_endpoint(url, delivery)[1].delivery == expected
