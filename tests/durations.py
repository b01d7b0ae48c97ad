"""Runs the longest test files first, so that the other processes do not wait for one that started late.

`make durations` runs every test and writes durations.json; it is never edited by hand. Other files get an estimate, a
high one if their tests start programs.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("durations.json")
LEAST_S = 1.0
"""Files that take less are not recorded."""
UNIT_S, OTHER_S = 0.2, 2.0
"""The estimate for a test whose file has no figure."""
TOP = 15
TOGETHER = {
    # Chromium aborts connection attempts when an address of the machine appears or disappears, as those of containers and
    # of nodes in namespaces do.
    "networks": (
        "tests/brokers/test_cuts.py",
        "tests/compose/test_clusters.py",
        "tests/compose/test_demo.py",
        "tests/compose/test_hardening.py",
        "tests/compose/test_launch_docker.py",
        "tests/ui/",
    ),
    # Each process that needs RabbitMQ starts it, which takes eight seconds of CPU.
    "rabbitmq": (
        "tests/brokers/test_rabbitmq_faults.py",
        "tests/brokers/test_rabbitmq_options.py",
        "tests/brokers/test_tls.py",
    ),
}
"""Files whose tests run in one process, one after the other."""


def read_durations() -> dict[str, float]:
    """Seconds by file, relative to the checkout."""
    found: dict[str, float] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def estimated(tests: Mapping[str, Sequence[bool]], known: Mapping[str, float]) -> dict[str, float]:
    """Seconds by file; `tests` says for each test of a file whether it is a unit test."""
    return {file: known.get(file, sum(UNIT_S if unit else OTHER_S for unit in units)) for file, units in tests.items()}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record-durations`."""
    parser.addoption("--record-durations", action="store_true", help="write tests/durations.json anew")


def pytest_configure(config: pytest.Config) -> None:
    """Record in the process that sees every test, not in xdist's workers."""
    if config.getoption("--record-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder())


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Put the files with the longest tests first."""
    units = defaultdict(list)
    for item in items:
        units[_file(item.nodeid)].append(item.get_closest_marker("unit") is not None)
    seconds = estimated(units, read_durations())
    scopes: dict[str, float] = defaultdict(float)
    for file in units:
        scopes[scope_of(file)] += seconds[file]
    items.sort(key=lambda item: (-scopes[scope_of(item.nodeid)], -seconds[_file(item.nodeid)]))


def scope_of(nodeid: str) -> str:
    """The name of the tests that run in one process: a file's, or those of several in `TOGETHER`."""
    return next((name for name, files in TOGETHER.items() if nodeid.startswith(files)), _file(nodeid))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class Recorder:
    """Adds up the duration of each file's tests, including set-up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        self.seconds[_file(report.nodeid)] += report.duration

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the file unless the run was interrupted.

        Tests that did not run, for instance without a browser, keep their figures.
        """
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        root = FILE.parents[1]
        kept = {file: known for file, known in read_durations().items() if (root / file).exists()}
        longest = sorted((kept | self.seconds).items(), key=lambda item: -item[1])
        lines = {file: round(seconds, 1) for file, seconds in longest if seconds >= LEAST_S}
        FILE.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The longest files."""
        terminalreporter.section("longest files")
        for file, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])[:TOP]:
            terminalreporter.write_line(f"{seconds:7.1f} s  {file}")
