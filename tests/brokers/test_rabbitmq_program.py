"""A node's code path has what it needs and no other plug-in; other packagings are left unchanged."""

import pytest

from brokers.programs.rabbitmq import link_code, rabbitmq
from tests.missing import missing

CORE = {"jsx-3.1", "rabbit-3.1", "rabbit_common-3.1", "rabbitmq_prelaunch-3.1"}
PLUGINS = {"rabbitmq_mqtt-3.1", "rabbitmq_management-3.1", "rabbitmq_management_agent-3.1"}


@pytest.fixture
def executable(tmp_path):
    for name in CORE | PLUGINS:
        (tmp_path / "plugins" / name / "ebin").mkdir(parents=True)
    (tmp_path / "plugins" / "README").write_text("not code")
    (tmp_path / "sbin").mkdir()
    executable = tmp_path / "sbin" / "rabbitmq-server"
    executable.touch()
    return executable


@pytest.mark.parametrize(
    ("enabled", "more"),
    [([], set()), (["rabbitmq_mqtt"], {"rabbitmq_mqtt-3.1"}), (["rabbitmq_management"], {"rabbitmq_management-3.1"})],
)
def test_only_enabled_plugins_are_linked(executable, enabled, more, tmp_path):
    code = tmp_path / "data" / "code"
    assert link_code(executable, enabled, code)
    assert {path.name for path in code.iterdir()} == CORE | more
    assert all((path / "ebin").is_dir() for path in code.iterdir())


def test_another_packaging_stays_unchanged(executable, tmp_path):
    code = tmp_path / "code"
    assert not link_code(executable, ["rabbitmq_prometheus"], code)
    assert not link_code(tmp_path / "elsewhere" / "sbin" / "rabbitmq-server", [], code)
    assert not code.exists()


def test_links_left_by_a_kill_are_recreated_and_the_code_stays(executable, tmp_path):
    code = tmp_path / "code"
    link_code(executable, ["rabbitmq_mqtt"], code)
    link_code(executable, [], code)
    assert {path.name for path in code.iterdir()} == CORE
    assert (tmp_path / "plugins" / "rabbitmq_mqtt-3.1" / "ebin").is_dir()


def test_it_finds_the_code_of_the_installed_broker(tmp_path):
    found = rabbitmq.find()
    if found is None:
        missing(f"rabbitmq is not installed here; {rabbitmq.install_hint}")
    assert link_code(found, [], tmp_path / "code")
    names = {path.name.rpartition("-")[0] for path in (tmp_path / "code").iterdir()}
    assert {"rabbit", "rabbit_common", "ra"} <= names
    assert not any("management" in name for name in names)
