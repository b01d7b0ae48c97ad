"""Breaks rules in copies of the source, one at a time, and runs the copies' tests.

`python -m tests.rules.mutating TREE` reads jobs as JSON (a list of [test, file, the file's broken text]; without a
file, nothing is broken). For each it forks from a process that has imported the libraries. It prints pytest's exit
codes as JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from _pytest.config import default_plugins

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("core", "brokers", "generator", "server", "load", "harness", "scenarios", "deploy", "tests")
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
LIBRARIES = (
    *("pytest", *PLUGINS, *(f"_pytest.{plugin}" for plugin in default_plugins), "_pytest._code.source", "pdb"),
    *("hypothesis.strategies", "numpy.random", "hdrh.histogram", "orjson"),
    *("pydantic.dataclasses", "pydantic_settings", "typer", "rich.console"),
)
JOB_DEADLINE_S = 90
ASIDE = 2
"""Trees in which jobs run at once."""
Job = Sequence[str]


def run_jobs(jobs: Sequence[Job], folder: Path) -> list[int]:
    """pytest's exit code for each job, or the negative number of the signal that ended it."""
    lanes = []
    for lane in range(ASIDE):
        tree = _copy(folder / f"tree-{lane}")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.rules.mutating", str(tree)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps([list(job) for job in jobs[lane::ASIDE]]).encode())
        child.stdin.close()
        lanes.append(child)
    codes = [0] * len(jobs)
    for lane, child in enumerate(lanes):
        assert child.stdout is not None
        codes[lane::ASIDE] = json.loads(child.stdout.read())
        assert child.wait() == 0
    return codes


def _copy(tree: Path) -> Path:
    """With bytecode and times: what is not broken is not compiled again."""
    tree.mkdir()
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name)
    shutil.copy2(ROOT / "pyproject.toml", tree)
    return tree


def _mutate(tree: Path, test: str, path: str = "", broken: str = "") -> int:
    source = tree / path if path else None
    text, stat = (source.read_text(), source.stat()) if source else ("", None)
    if source:
        source.write_text(broken)
    pid = os.fork()
    if pid == 0:
        os._exit(_pytest(tree, test))
    _, status = os.waitpid(pid, 0)
    if source and stat:
        source.write_text(text)
        os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # its bytecode is valid again
    return os.waitstatus_to_exitcode(status)


def _pytest(tree: Path, test: str) -> int:
    import pytest

    signal.alarm(JOB_DEADLINE_S)
    os.chdir(tree)
    with (tree / "pytest.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    # This process has imported the repository's modules; import the copy's again.
    for name in [name for name in sys.modules if name.split(".")[0] in COPIED]:
        del sys.modules[name]
    sys.path[:] = [str(tree)] + [entry for entry in sys.path if entry not in ("", str(ROOT))]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # setting up all installed ones takes a second
    plugins = [word for plugin in PLUGINS for word in ("-p", plugin)]
    return int(pytest.main(["-x", "--tb=line", *plugins, *shlex.split(test)]))


def main() -> None:
    """Run the jobs from standard input."""
    tree = Path(sys.argv[1])
    jobs = json.load(sys.stdin)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # pytest collects garbage as it ends, which in a fork would copy everything that is already here
    print(json.dumps([_mutate(tree, *job) for job in jobs]))


if __name__ == "__main__":
    main()
