"""For all tests: the meaning of Ctrl-C, how many examples and no deadline in milliseconds, which tests never run at the same time."""

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.selection", "tests.durations", "tests.compiled"]

# A shell's `command &` ignores SIGINT, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis gives each example 200 ms, which a busy machine exceeds without a defect.
settings.register_profile("no deadline", settings.default, deadline=None)
settings.load_profile("no deadline")
# `make unit`: a third of the examples of each test that does not say how many; `make test` takes them all.
settings.register_profile("quick", settings.get_profile("no deadline"), max_examples=33)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape what is not UTF-8 in a test's output or log: xdist cannot pass it on, and would end all tests."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(optionalhook=True)  # the tests of tests/rules run tests without xdist
def pytest_xdist_make_scheduler(config, log):
    """Give a file to one process, and those that never run at the same time all to the same."""
    from xdist.scheduler import LoadFileScheduling

    from tests.durations import scope_of

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return scope_of(nodeid)

    return Scheduler(config, log)
