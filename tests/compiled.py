"""Compiles what the processes of pytest-xdist will import, before they start.

In a fresh clone each of them would rewrite the assertions of 260 files of tests, 12 seconds of CPU, because
they reach the same files at the same time.
"""

import compileall
import importlib.util
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import PYC_TAIL, _rewrite_test, _write_pyc, assertstate_key  # no public name does it

ROOT = Path(__file__).parents[1]
SOURCES = ("core", "brokers", "server", "generator", "load", "harness", "benchmarks", "tests")

_config: pytest.Config


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile all in the process that starts the others, if they will import more than a few files."""
    config = session.config
    starts_others = not hasattr(config, "workerinput") and config.getoption("numprocesses", None)
    whole = any(Path(word).is_dir() for word in config.args)
    if not starts_others or not whole or sys.dont_write_bytecode:
        return
    files = sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    if missing := [path for path in files if not _cached(path).exists()]:
        forks = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(os.cpu_count(), forks, initializer=_remember, initargs=(config,)) as pool:
            list(pool.map(_compile, missing, chunksize=8))


def _is_rewritten(path: Path) -> bool:
    return path.name.startswith("test_") and path.is_relative_to(ROOT / "tests")


def _cached(path: Path) -> Path:
    """Where its bytecode is kept; one that is older than the source is compiled again by whoever imports it first."""
    if _is_rewritten(path):
        return path.parent / "__pycache__" / f"{path.stem}{PYC_TAIL}"
    return Path(importlib.util.cache_from_source(path))


def _remember(config: pytest.Config) -> None:
    global _config
    _config = config


def _compile(path: Path) -> None:
    if not _is_rewritten(path):
        compileall.compile_file(path, quiet=2)
        return
    found, code = _rewrite_test(path, _config)
    cached = _cached(path)
    cached.parent.mkdir(exist_ok=True)
    _write_pyc(_config.stash[assertstate_key], code, found, cached)
