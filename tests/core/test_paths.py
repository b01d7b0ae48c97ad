"""A user's path becomes absolute at the entry point, whatever directory a program changes to later."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from brokers.contenders import find_contender
from brokers.endpoint import parse_url, with_absolute_files
from core.errors import UsageError
from core.paths import absolute_path, file_to_write
from core.scenario import load_scenario
from core.settings import read_settings
from generator.settings import GeneratorSettings
from harness.report.notebook import RESULTS, folders
from load.settings import read_settings as read_load_settings
from server.settings import ServerSettings
from tests.elsewhere import put_decoys


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current directory at the entry point; later it is a different one."""
    folder = put_decoys(tmp_path / "here")
    monkeypatch.chdir(folder)
    return folder


def test_a_path_is_taken_from_the_current_directory(here):
    assert absolute_path("a/b.toml") == absolute_path(Path("a/b.toml")) == here / "a" / "b.toml"
    assert absolute_path("/dev/stdin") == Path("/dev/stdin"), "a link is not followed: what it leads to may be no file"


@pytest.mark.parametrize(("path", "says"), [("none/x", "create it"), ("core", "the path of a file"), ("", "of a file")])
def test_an_unwritable_path_is_refused_at_once(path, says):
    with pytest.raises(ValueError, match=says):
        file_to_write(path)


def test_the_file_with_the_brokers_password(here, monkeypatch):
    monkeypatch.setenv("FANBENCH_BROKER_PASSWORD_FILE", "secret")
    for settings in (ServerSettings, GeneratorSettings):
        assert read_settings(settings).broker_password_file == here / "secret"


@pytest.mark.parametrize("name", ["FANBENCH_BROKER_PASSWORD_FILE", "FANBENCH_REPORT"])
def test_an_empty_setting_names_no_file(name, monkeypatch):
    monkeypatch.setenv(name, "")
    found = read_settings(GeneratorSettings)
    assert found.report is found.broker_password_file is None


def test_the_generators_report(here, monkeypatch):
    monkeypatch.setenv("FANBENCH_REPORT", "report.json")
    assert read_settings(GeneratorSettings).report == here / "report.json"
    assert read_settings(GeneratorSettings, ["--report", "core/r.json"]).report == here / "core" / "r.json"


@pytest.mark.parametrize("url", ["rediss://h?ca_file=my%20ca.pem", "rediss://h/0?x=1&ca_file=my+ca.pem&y=2"])
def test_the_files_that_a_brokers_url_names(url, here, monkeypatch):
    assert parse_url(with_absolute_files(url), "").options["ca_file"] == str(here / "my ca.pem")
    monkeypatch.setenv("FANBENCH_BROKER_URL", url)
    for settings in (ServerSettings, GeneratorSettings):
        assert read_settings(settings).broker_url == with_absolute_files(url)


def test_a_broker_given_by_its_url(here):
    found = find_contender("rediss://user:a%2Fb@h:7?ca_file=ca.pem")
    assert found.url == f"rediss://user:a%2Fb@h:7?ca_file={here}/ca.pem"


@pytest.mark.parametrize("url", ["redis://u:p@h/0", "rediss://h?ca_file=/etc/my%20ca.pem", "mqtt://h?qos=1", "mine"])
def test_other_urls_stay_as_they_are(url):
    assert with_absolute_files(url) == url


def test_the_files_of_the_load(here):
    settings = read_load_settings(SimpleNamespace(out="out.json", status="", control="core/control"))
    assert (settings.out, settings.status, settings.control) == (here / "out.json", None, here / "core" / "control")


def test_a_scenario_file(here):
    (here / "mine.toml").write_text("clients = 7\n")
    assert load_scenario("mine.toml", here / "none").clients == 7
    with pytest.raises(UsageError, match=str(here / "other.toml")):
        load_scenario("other.toml", here / "none")


def test_the_results_that_the_notebooks_read(here, monkeypatch):
    monkeypatch.setenv(RESULTS, "mine")
    with pytest.raises(UsageError, match=str(here / "mine")):
        folders()
