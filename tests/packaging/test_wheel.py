"""The wheel, built from a tree without git and installed into a new environment, runs from any directory."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from core.ports import free_port
from tests.elsewhere import WRONG, put_decoys
from tests.packaging.test_release import VERSION
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
DEADLINE_S = 100.0
COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""Of the tree that is built: the sdist records it, and the wheel is made of the sdist."""

pytestmark = pytest.mark.timeout(400)  # real programs, which first compile their libraries, while other tests run


def environment(**more):
    """A user's environment: without the checkout's, without our settings, and free to keep compiled modules."""
    ours = ("FANBENCH_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def run(*words, cwd, allowed=(0,), **more):
    """Run a command to its end; return its output."""
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=DEADLINE_S)
    assert WRONG not in done.stdout + done.stderr
    assert done.returncode in allowed, done.stdout + done.stderr
    return done.stdout


def uv(*words, cwd, **more):
    """Run uv with its cache, and if that is not enough, with its registry."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, "no uv here; make setup installs it"
    command, env = [found, *map(str, words)], environment(**more)
    if subprocess.run([*command, "--offline"], cwd=cwd, env=env, capture_output=True, timeout=DEADLINE_S).returncode:
        run(*command, cwd=cwd, **more)


def _not_of_the_tree(folder, names):
    left_out = {".git", ".venv", "dist", "__pycache__"} | {name for name in names if name.endswith("_cache")}
    return left_out if Path(folder) != ROOT / "results" else set(names) - {"README.md", "reference"}


class Built(NamedTuple):
    """The result of `uv build`."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def built(integration, tmp_path_factory):
    """Wheel and sdist of a copy without .git, in which somebody has measured; the wheel is built from the sdist."""
    tree = tmp_path_factory.mktemp("tree") / "fanbench"
    shutil.copytree(ROOT, tree, ignore=_not_of_the_tree)
    for name in ("logs/locust.log", "charts/time.svg", "report.html"):
        own = tree / "results" / "reference" / "broadcast" / name
        own.parent.mkdir(exist_ok=True)
        own.write_text("of a measurement here")
    shutil.copytree(tree / "results" / "reference" / "burst", tree / "results" / "mine")
    (tree / ".git").mkdir()
    (tree / ".git" / "HEAD").write_text(f"{COMMIT}\n")
    uv("build", "-q", "--out-dir", tree / "dist", cwd=tree)
    (wheel,), (sdist,) = (tree / "dist").glob("*.whl"), (tree / "dist").glob("*.tar.gz")
    return Built(wheel, sdist)


class Tool(NamedTuple):
    """The wheel with its requirements in a new environment, and the commands that it installs."""

    home: Path
    programs: Path

    @property
    def python(self):
        """Its interpreter."""
        return self.home / "bin" / "python"

    @property
    def packages(self):
        """The folder of the code."""
        (found,) = self.home.glob("lib/python*/site-packages")
        return found

    def fanbench(self, *words, cwd, allowed=(0,), program="fanbench", **more):
        """Run one of its commands; return its output."""
        return run(self.programs / program, *words, cwd=cwd, allowed=allowed, **more)

    def files(self):
        """The installed files and when each was written, without compiled modules."""
        return {
            str(path.relative_to(self.packages)): path.stat().st_mtime_ns
            for path in self.packages.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


def link_bytecode(source, target):
    """Give the same files their bytecode, or each program's first start compiles them; Python ignores what does not fit its source."""
    for cache in source.rglob("__pycache__"):
        there = target / cache.relative_to(source)
        if there.parent.is_dir() and not there.exists():
            shutil.copytree(cache, there, copy_function=link)


def link(source, target):
    """Link, or copy if that is impossible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """The wheel, installed as uvx and pipx do, in a directory like theirs on a Mac.

    Afterwards nothing in it has changed.
    """
    tools, programs = tmp_path_factory.mktemp("home") / "Application Support", tmp_path_factory.mktemp("bin")
    words = ["tool", "install", "-q", "--python", sys.executable, "-c", LOCK, built.wheel]
    uv(*words, cwd=built.wheel.parent, UV_TOOL_DIR=str(tools), UV_TOOL_BIN_DIR=str(programs))
    found = Tool(tools / "fanbench", programs)
    link_bytecode(Path(sysconfig.get_path("purelib")), found.packages)
    before = found.files()
    yield found
    assert found.files() == before


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """A directory with the user's packages of these names; none may be imported."""
    return put_decoys(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def compared(installed, elsewhere):
    """The answer of `fanbench compare` in that directory."""
    words = ["compare", "memory", "valkey", "nats", "-s", "smoke", "--duration", 1, "--repeats", 0, "--json"]
    return json.loads(installed.fanbench(*words, cwd=elsewhere, allowed=(0, 1)))  # 1: a busy machine refuses runs


def counted(answer):
    """Each contender; all its deliveries were accounted for."""
    with (Path(answer["folder"]) / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert int(row["delivered"]) == int(row["expected"]) > 0, row["problems"]
    return sorted(row["contender"] for row in rows)


def test_the_wheel_contains_the_programs_data_and_no_measurements(built):
    names = set(zipfile.ZipFile(built.wheel).namelist())
    kept = {name.removeprefix("core/resources_of_the_wheel/") for name in names}
    expected = [*ROOT.glob("scenarios/*"), *ROOT.glob("ui/*"), *ROOT.glob("deploy/*/*")]
    # The monitoring of the demo, and deployments to copy from a checkout.
    left_out = {"grafana", "prometheus", "kubernetes", "compose"}
    expected = [path for path in expected if path.parent.name not in left_out]
    assert {str(path.relative_to(ROOT)) for path in expected if path.suffix != ".pyc"} <= kept
    servers = ROOT.glob("examples/per-client-server/*.py")
    assert {str(path.relative_to(ROOT / "examples")) for path in servers} <= kept
    stored = {path.parent.name for path in (ROOT / "results" / "reference").glob("*/manifest.json")}
    files = ("manifest.json", "summary.csv", "timeline.csv", "histograms.json")
    assert {f"reference/{folder}/{file}" for folder in stored for file in files} <= kept
    assert not [name for name in kept if "of a measurement" in name or name.endswith((".log", ".svg", "report.html"))]
    packages = {"core", "brokers", "server", "generator", "load", "harness", "fanbench_locust"}
    assert {f"{package}/py.typed" for package in packages} <= names
    assert {name.split("/")[0] for name in names if not name.startswith("fanbench-")} == packages


def test_it_records_the_commit_that_it_was_built_from(installed, elsewhere):
    assert installed.fanbench("--version", cwd=elsewhere).strip() == f"fanbench {VERSION} (commit {COMMIT})"


def test_a_stranger_verifies_a_bundle(installed, compared, elsewhere, tmp_path):
    bundle = tmp_path / "mine.fanbench.zip"
    installed.fanbench("bundle", compared["folder"], "--out", bundle, cwd=elsewhere)
    assert json.loads(installed.fanbench("verify", bundle, "--json", cwd=elsewhere))["verified"] is True


def test_it_is_the_wheel_that_runs(installed, elsewhere):
    code = "import core, harness, server, sys; print(core.__path__[0], *sys.path, sep='\\n')"
    where, *path = run(installed.python, "-P", "-c", code, cwd=elsewhere).splitlines()
    assert where == str(installed.packages / "core")
    assert str(ROOT) not in path


def test_doctor_finds_the_brokers_that_come_as_wheels(installed, elsewhere):
    found = json.loads(installed.fanbench("doctor", "--json", cwd=elsewhere, PATH="/usr/bin:/bin"))
    runnable = {row["name"] for row in found["contenders"] if row["runnable"]}
    assert {"memory", "valkey", "valkey-streams", "nats", "nats-jetstream"} <= runnable
    assert {"amqp", "mqtt", "redis", "nats"} <= found["adapters"].keys()
    assert found["broken_plugins"] == {}
    # The wheel contains their servers, and the library that one of them needs is an extra.
    assert {row["how"].partition(": ")[2] for row in found["anti_patterns"] if row["program"] == "valkey"} == {
        "pip install 'fanbench[anti-patterns]'"
    }


def test_compare_beside_packages_of_the_same_names(compared, elsewhere):
    assert counted(compared) == ["memory", "nats", "valkey"]
    assert Path(compared["folder"]).parent == elsewhere / "results"
    assert "valkey" in Path(compared["report"]).read_text(encoding="utf-8")


def test_compare_beside_empty_folders_of_the_same_names(installed, tmp_path):
    put_decoys(tmp_path, empty=True)
    words = ["compare", "memory", "-s", "smoke", "--duration", 1, "--repeats", 0, "--json"]
    answer = json.loads(installed.fanbench(*words, cwd=tmp_path, allowed=(0, 1)))
    assert counted(answer) == ["memory"]


def test_choose_reads_the_reference_results(installed, elsewhere):
    assert json.loads(installed.fanbench("choose", "--clients", 500, "--json", cwd=elsewhere))["left"]


def test_a_report_is_rebuilt(installed, compared, elsewhere):
    page = Path(compared["report"])
    page.unlink()
    assert installed.fanbench("report", page.parent.relative_to(elsewhere), cwd=elsewhere).strip() == str(page)
    assert page.is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("conformance", "memory"),
        ("hop", "valkey", "--duration", 0.5, "--rate", 100),
        ("faults", "valkey", "--fault", "replica-kill", "--at", 0.5, "--for", 1, "--clients", 10, "--rounds", 1),
        ("capacity", "valkey", "--within", 10, "--clients", 5, "--replicas", 1, "--duration", 0.5, "--warmup", 0.2),
    ],
    ids=lambda words: words[0],
)
def test_the_other_commands_measure(words, installed, elsewhere):
    answer = json.loads(installed.fanbench(*words, "--json", cwd=elsewhere, allowed=(0, 1)))
    match words[0]:
        case "conformance":
            assert answer["kept"] > 0 == answer["broken"]
        case "hop":
            assert answer[0]["messages"] > 0 < answer[0]["bare"]["published"]
        case _:
            counted(answer)


@pytest.fixture
def demo(installed, elsewhere, tmp_path):
    """The address of `fanbench demo`."""
    port, log = free_port(), tmp_path / "log"
    command = [installed.programs / "fanbench", "demo", "nats", "--rate", "20", "--port", str(port)]
    with log.open("wb") as output:
        started = subprocess.Popen(command, cwd=elsewhere, env=environment(), stdout=output, stderr=output)
    try:
        wait_until(lambda: started.poll() is not None or "  logs " in log.read_text(), "the demo", 60)
        assert started.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
        started.send_signal(signal.SIGINT)
        assert started.wait(20) == 0, log.read_text()
    finally:
        started.kill()
        started.wait()


def test_the_demo_serves_the_page_and_locust_measures_it_from_there(installed, demo, elsewhere):
    with urllib.request.urlopen(f"{demo}/", timeout=20) as page:
        assert b"<html" in page.read()
    words = ["--headless", "-u", 4, "-r", 4, "-t", "2s", "--host", demo, "--skip-log-setup", "--out", "load.json"]
    installed.fanbench(*words, cwd=elsewhere, program="fanbench-locust")
    assert json.loads((elsewhere / "load.json").read_text())["deliveries"] > 0


LOCUSTFILE = """
from locust import task
from fanbench_locust import SSEUser
import load.mine, server.mine  # a person's own

class Listener(SSEUser):
    path = "/sse"

    @task
    def wait(self):
        assert self.streams[0].wait_event(timeout_s=30), "nothing came"
        print(f"heard; {load.mine.WORDS}, {server.mine.WORDS}")
        self.environment.runner.quit()
"""


def test_a_locustfile_next_to_packages_with_our_names_gets_our_user_and_its_own_packages(installed, demo, tmp_path):
    for name in ("load", "server"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "mine.py").write_text(f"WORDS = 'their {name}'\n")
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    words = ["--headless", "-u", 1, "-t", "60s", "--host", demo]
    assert "heard; their load, their server" in run(installed.python, "-P", "-m", "locust", *words, cwd=tmp_path)


def test_the_generator_by_hand(installed, elsewhere):
    settings = {"FANBENCH_BROKER_URL": "memory://", "FANBENCH_DURATION_S": "0.2", "FANBENCH_REPORT": "report.json"}
    installed.fanbench(cwd=elsewhere, program="fanbench-generator", **settings)
    assert json.loads((elsewhere / "report.json").read_text())["published"]["events"]["measure"] == 1


@pytest.mark.parametrize("program", ["server", "generator", "load"])
def test_the_programs_as_modules(program, installed, elsewhere):
    assert "usage" in run(installed.python, "-P", "-m", program, "--help", cwd=elsewhere).lower()
