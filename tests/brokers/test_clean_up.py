"""Everything that a run creates at a broker has the run's name and is gone afterwards, even if fanbench is killed."""

import json
import signal
import subprocess
import sys

import pytest

from brokers import registry as registry_module
from brokers.clean_up import main, run_on
from brokers.contenders import find_contender
from brokers.endpoint import RUN_NAME, parse_url
from brokers.registry import GROUP, installed
from core.guard import COMMAND_TIMEOUT_S
from tests.waiting import wait_until

PLUG_IN = '''
import os, pathlib
from contextlib import asynccontextmanager
SHELF = pathlib.Path(os.environ["SHELF"])

class Adapter:
    """Its broker is a folder, in which each run makes a file."""
    name, schemes, deliveries, replay = "shelf", ("shelf",), ("at-most-once",), False
    max_topic_bytes, options, fails = 100, (), False

    @asynccontextmanager
    async def producer(self, endpoint):
        (SHELF / endpoint.prefix).touch()
        yield None

    consumer = producer

    async def clean_up(self, endpoint):
        from brokers.sdk import BrokerError, RUN_NAME
        if self.fails:
            raise BrokerError(endpoint, "clean up", "the door is shut")
        (SHELF / endpoint.get(RUN_NAME)).unlink(missing_ok=True)

adapter = Adapter()
'''


@pytest.fixture
def shelf(integration, tmp_path, monkeypatch):
    """The installed plug-in, and its broker's folder."""
    (tmp_path / "shelf_plugin.py").write_text(PLUG_IN)
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("SHELF", str(folder))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    info = tmp_path / "shelf_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf_plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nshelf = shelf_plugin:adapter\n")
    monkeypatch.delitem(sys.modules, "shelf_plugin", raising=False)
    installed.cache_clear()
    yield folder
    installed.cache_clear()


def make(url):
    """Do what a replica does with a URL."""
    import asyncio

    async def connect():
        adapter, endpoint = registry_module.open_endpoint(url)
        async with adapter.producer(endpoint):
            pass

    asyncio.run(connect())


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_run_has_a_unique_name_and_leaves_nothing(shelf, tmp_path):
    (shelf / "somebodys").touch()
    with find_contender("shelf://h").launched(tmp_path) as broker:
        make(broker.url)
        (made,) = {*names(shelf)} - {"somebodys"}
        assert made.startswith("fanbench-")
        assert parse_url(broker.url, "").get(RUN_NAME) == made
    assert names(shelf) == ["somebodys"]


def test_ctrl_c_leaves_nothing(shelf, tmp_path):
    def interrupted():
        with find_contender("shelf://h").launched(tmp_path) as broker:
            make(broker.url)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(shelf) == []


def test_a_name_chosen_by_the_user_is_kept_with_everything_under_it(shelf):
    with run_on("shelf://h?run_name=mine", "at-most-once") as url:
        assert url == "shelf://h?run_name=mine"
        make(url)
    assert names(shelf) == ["mine"]


def test_leftovers_are_reported_with_the_next_step(shelf, monkeypatch, caplog):
    import shelf_plugin

    monkeypatch.setattr(shelf_plugin.adapter, "fails", True)
    with run_on("shelf://u:hunter2@h", "at-most-once") as url:
        make(url)
    (made,) = names(shelf)
    assert "the door is shut" in caplog.text
    assert f"remove what begins with {made} by hand" in caplog.text
    assert "hunter2" not in caplog.text


def test_after_a_sigkill_the_guard_cleans_up_and_no_command_line_shows_the_password(shelf):
    program = (
        "import sys, time\n"
        "from brokers.clean_up import run_on\n"
        "from tests.brokers.test_clean_up import make\n"
        "with run_on('shelf://u:hunter2@h', 'at-most-once') as url:\n"
        "    make(url); print('made', flush=True); time.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "made\n"
    assert len(names(shelf)) == 1
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    wait_until(lambda: not names(shelf), "the guard has cleaned up", 2 * COMMAND_TIMEOUT_S)


def test_the_guards_command_is_idempotent(shelf, tmp_path):
    path = tmp_path / "left.json"
    assert main([str(path)]) == 0
    path.write_text(json.dumps(["shelf://h?run_name=gone", "at-most-once"]))
    (shelf / "gone").touch()
    assert main([str(path)]) == 0
    assert names(shelf) == []
    assert not path.exists()
