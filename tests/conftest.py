"""For all tests: the meaning of Ctrl-C, no deadline in milliseconds, which tests never run at the same time."""

import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.selection", "tests.durations"]

# A shell's `command &` ignores SIGINT, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis gives each example 200 ms, which is a busy machine's and not a defect's.
settings.register_profile("no deadline", settings.default, deadline=None)
settings.load_profile("no deadline")

# Chromium gives up what it is connecting to when an address of the machine comes or goes, as Docker's networks do, and those
# of nodes that can be cut off.
NEVER_SIDE_BY_SIDE = ("tests/brokers/test_cuts.py", "tests/compose/", "tests/ui/")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape what is no UTF-8 in what a test wrote or logged: xdist cannot pass it on, and all tests would end there."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(optionalhook=True)  # the tests of tests/rules run tests without xdist
def pytest_xdist_make_scheduler(config, log):
    """Give a file to one process, and the files of `NEVER_SIDE_BY_SIDE` all to the same."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "networks" if nodeid.startswith(NEVER_SIDE_BY_SIDE) else super()._split_scope(nodeid)

    return Scheduler(config, log)
