"""The pytest fixture `broker` that a subclass of Conformance needs: import it in your conftest.py.

A separate module, because only tests have pytest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from brokers.conformance.provocations import Provocations, provocations_of
from brokers.conformance.workbench import Workbench, settle
from brokers.contender import Contender
from brokers.contenders import all_contenders, cluster_contenders, find_contender
from brokers.programs.catalogue import program_of
from brokers.programs.cluster import Cluster
from brokers.programs.running import Running

__all__ = ["broker", "running_programs"]


class RunningPrograms:
    """Each program once per session, with the features of all contenders that use it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._running: dict[str, Running | Cluster] = {}

    def workbench(self, contender: Contender, own: Provocations | None = None) -> Workbench:
        """Return the contender's running program; if it is not installed, skip the test, or fail it on a CI machine."""
        name, provocations = contender.program, own or provocations_of(contender.name)
        if name is None:
            return Workbench(contender, contender.url, None, self.folder, provocations)
        if not contender.runnable:
            self.missing(name)
        if name not in self._running:
            features = {
                feature
                for other in (*all_contenders(), *cluster_contenders())
                if other.program == name
                for feature in other.features
            }
            started: Running | Cluster = program_of(name, "auto").start(self.folder / name, features)
            self._stack.callback(started.stop)
            self._running[name] = started
        running = self._running[name]
        if running.ended:  # a failed test left it dead
            running.start_again()
        return Workbench(contender, contender.url.format_map(running.listeners), running, self.folder, provocations)

    def missing(self, name: str) -> NoReturn:
        """Skip the test, or fail it in CI, because its program is not installed."""
        report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        report(f"{name} is not installed here; {program_of(name, 'auto').install_hint}")


@pytest.fixture(scope="session")
def running_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrograms]:
    """The session's programs; all are stopped at its end."""
    with ExitStack() as stack:
        yield RunningPrograms(tmp_path_factory.mktemp("programs"), stack)


@pytest.fixture(scope="class")
def broker(request: pytest.FixtureRequest, running_programs: RunningPrograms) -> Workbench:
    """The broker of the class's contender."""
    workbench = running_programs.workbench(find_contender(request.cls.contender), request.cls.provocations)
    settle(workbench)
    return workbench
