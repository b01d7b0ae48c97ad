"""Which tests are `unit`: those that need no program but Python, and do not take long; `make unit` runs them alone.

Nobody lists them. A test that starts a broker, a browser, Docker or a whole run of fanbench has the fixture `integration`,
mostly by another fixture; any other test that starts such a program fails and says so.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from core.process import ONCE_GUARDED

STARTERS = {"integration", "running_programs"}  # the latter is of brokers/conformance, which knows nothing of our marks
NOT_UNIT = {"slow", "soak"}
ALLOWED = {"sh", "bash", "env", "sleep", "kill", "git", "uname", "file"}
"""What a unit test may start beside Python and the scripts that it made itself: every machine that has `make` has them."""
COMMANDS = {"locust", "fanbench", "uv"}
"""Of the environment's own."""


class NotUnitError(AssertionError):
    """A test without the fixture `integration` starts a program."""


class Guard:
    """Refuses to start programs while a unit test runs."""

    def __init__(self) -> None:
        self.test: str | None = None
        self.own_files = Path("/nowhere")

    def look(self, event: str, arguments: tuple[object, ...]) -> None:
        """The audit hook."""
        if self.test is None or event != "subprocess.Popen":
            return
        executable, words, _, env = arguments
        program = program_of(executable, words)
        if not self._may(program, env if isinstance(env, Mapping) else None):
            self.require_integration(program)

    def require_integration(self, program: str) -> None:
        """Fail a unit test that starts this program."""
        if self.test is not None:
            raise NotUnitError(
                f"{self.test} starts {program}, which `make unit` must do without: have the test, or its fixture that starts "
                "it, use the fixture `integration` (tests/selection.py)"
            )

    def _may(self, program: str, env: Mapping[str, str] | None) -> bool:
        path = Path(program)
        if path.name in ALLOWED | COMMANDS or path.name.startswith(("python", Path(sys.executable).name)):
            return True
        found = shutil.which(program, path=None if env is None else env.get("PATH"))
        return found is None or Path(found).is_relative_to(self.own_files)


GUARD = Guard()
sys.addaudithook(GUARD.look)


def program_of(executable: object, words: object) -> str:
    """The program that a `subprocess.Popen` comes to start: behind the shell that core.process.spawn puts before it."""
    listed = [str(word) for word in words] if isinstance(words, Sequence) and not isinstance(words, str | bytes) else []
    if listed[: len(ONCE_GUARDED)] == ONCE_GUARDED:
        return listed[len(ONCE_GUARDED)]
    return str(executable or (listed[0] if listed else words))


@pytest.fixture(scope="session")
def integration() -> None:
    """The test needs more than Python: brokers, browsers, Docker, whole runs. It is no part of `make unit`."""


@pytest.fixture(scope="session", autouse=True)
def _own_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    GUARD.own_files = tmp_path_factory.getbasetemp()


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what `-m` does not want
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the unit tests."""
    for item in items:
        needs = STARTERS & set(getattr(item, "fixturenames", ()))
        if not needs and not any(item.get_closest_marker(mark) for mark in NOT_UNIT):
            item.add_marker(pytest.mark.unit)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Watch the fixtures of a unit test."""
    yield from _guarded(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Watch a unit test; what is taken down after it may be the session's."""
    yield from _guarded(item)


def _guarded(item: pytest.Item) -> Iterator[None]:
    GUARD.test = item.nodeid if item.get_closest_marker("unit") else None
    try:
        return (yield)
    finally:
        GUARD.test = None
