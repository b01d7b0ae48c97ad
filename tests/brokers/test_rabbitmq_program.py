"""A node's code path holds what it needs, and where that cannot be told it is left alone."""

import pytest

from brokers.programs.rabbitmq import rabbitmq
from brokers.programs.rabbitmq_code import lay_out, needed_code
from tests.missing import missing

APPS = {
    "rabbit-3.1": "[{applications, [kernel,ra, rabbit_common]}, {env, [{applications_to_start, [shovel]}]}]",
    "rabbit_common-3.1": "[{applications,[\n  stdlib,\n  jsx]}]",
    "ra-2.0": "[{included_applications, [seshat]},{applications,[]}]",
    "jsx-3.0": "[]",
    "seshat-0.1": "[]",
    "mqtt-3.1": "[{applications, [rabbit, client]}]",
    "client-3.1": "[]",
    "shovel-3.1": "[]",
}
BROKER = ["jsx-3.0", "ra-2.0", "rabbit-3.1", "rabbit_common-3.1", "seshat-0.1"]


@pytest.fixture
def plugins(tmp_path):
    for folder, fields in APPS.items():
        app = folder.partition("-")[0]
        ebin = tmp_path / "plugins" / folder / "ebin"
        ebin.mkdir(parents=True)
        (ebin / f"{app}.app").write_text(f"{{application, '{app}', {fields}}}.")
    return tmp_path / "plugins"


@pytest.mark.parametrize(
    ("enabled", "more"), [([], []), (["mqtt"], ["client-3.1", "mqtt-3.1"]), (["shovel"], ["shovel-3.1"])]
)
def test_what_is_needed_and_no_more(plugins, enabled, more):
    assert [path.name for path in needed_code(plugins, enabled)] == sorted(BROKER + more)


def test_another_packaging_is_left_alone(plugins, tmp_path):
    assert needed_code(plugins, ["prometheus"]) == []
    assert needed_code(tmp_path / "none", []) == []


def test_it_is_laid_out_by_links_also_over_what_a_kill_left(plugins, tmp_path):
    lay_out(needed_code(plugins, ["mqtt"]), tmp_path / "data" / "code")
    lay_out(needed_code(plugins, []), tmp_path / "data" / "code")
    assert sorted(path.name for path in (tmp_path / "data" / "code").iterdir()) == BROKER
    assert (tmp_path / "data" / "code" / "ra-2.0" / "ebin" / "ra.app").exists()


def test_it_finds_the_code_of_the_installed_broker():
    found = rabbitmq.find()
    if found is None:
        missing(f"rabbitmq is not installed here; {rabbitmq.install_hint}")
    names = {path.name.rpartition("-")[0] for path in needed_code(found.resolve().parents[1] / "plugins", [])}
    assert {"rabbit", "rabbit_common", "ra"} <= names
    assert not any("management" in name for name in names)
