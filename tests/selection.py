"""Which tests are `unit`: those that run inside pytest's own process, and quickly; `make unit` runs them alone.

Nobody lists them. A test that starts programs (brokers, browsers, Docker, fanbench, Locust) has the fixture `integration`,
usually through another fixture, and any other test that starts one fails and says so.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from core.process import DIES_WITH_PARENT, ONCE_GUARDED

STARTERS = {"integration", "running_programs"}  # the latter comes from brokers/conformance, which has no marks
NOT_UNIT = {"slow", "soak"}
QUICK = {"sh", "bash", "env", "sleep", "kill", "git"}
"""What a test with the mark `subprocess` may start, in addition to Python and the programs that it wrote itself."""


class NotUnitError(AssertionError):
    """A unit test starts a program."""


class Guard:
    """Refuses to start programs while a unit test runs."""

    def __init__(self) -> None:
        self.own_files = Path("/nowhere")
        self._test: pytest.Item | None = None

    def look(self, event: str, arguments: tuple[object, ...]) -> None:
        """The audit hook."""
        if self._test is None or event != "subprocess.Popen":
            return
        executable, words, _, env = arguments
        program = program_of(executable, words)
        if self._test.get_closest_marker("subprocess") and self._quick(program, env):
            return
        raise NotUnitError(
            f"{self._test.nodeid} starts {program}, and `make unit` starts nothing: use the fixture `integration` in the test, or "
            "in its fixture that starts it; for Python or a shell, and well under a second, the mark `subprocess` "
            "(tests/selection.py)"
        )

    def _quick(self, program: str, env: object) -> bool:
        path = Path(program)
        if path.name in QUICK or path.name.startswith("python"):
            return True
        found = shutil.which(program, path=env.get("PATH") if isinstance(env, Mapping) else None)
        return found is None or Path(found).is_relative_to(self.own_files)

    def watch(self, item: pytest.Item) -> Iterator[None]:
        """While the hook that it wraps runs, if it is a unit test's."""
        self._test = item if item.get_closest_marker("unit") else None
        try:
            return (yield)
        finally:
            self._test = None


GUARD = Guard()
sys.addaudithook(GUARD.look)


def program_of(executable: object, words: object) -> str:
    """The program that a `subprocess.Popen` finally starts: behind the shell that core.process.spawn puts before it."""
    listed = [str(word) for word in words] if isinstance(words, Sequence) and not isinstance(words, str | bytes) else []
    for before in (ONCE_GUARDED, [*DIES_WITH_PARENT, *ONCE_GUARDED]):
        if listed[: len(before)] == before:
            return listed[len(before)]
    return str(executable or (listed[0] if listed else words))


@pytest.fixture(scope="session")
def integration() -> None:
    """The test starts programs: it is not part of `make unit`."""


@pytest.fixture(scope="session", autouse=True)
def _own_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    GUARD.own_files = tmp_path_factory.getbasetemp()


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what `-m` does not want
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests."""
    for item in items:
        starts = STARTERS & set(getattr(item, "fixturenames", ()))
        if not starts and not any(item.get_closest_marker(mark) for mark in NOT_UNIT):
            item.add_marker(pytest.mark.unit)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Watch the fixtures of a unit test."""
    return (yield from GUARD.watch(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Watch a unit test; what is torn down after it may be the session's."""
    return (yield from GUARD.watch(item))
