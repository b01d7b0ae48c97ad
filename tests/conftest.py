"""For all tests: what Ctrl-C means, no deadline in milliseconds, which come first and which never run side by side."""

import signal

import pytest
from hypothesis import settings

# A shell's `command &` ignores SIGINT, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis gives each example 200 ms, which is a busy machine's and not a defect's.
settings.register_profile("no deadline", settings.default, deadline=None)
settings.load_profile("no deadline")

# `make test` gives a file to one process: a long one that began late would keep the others waiting at the end.
LONGEST = (
    "brokers/test_rabbitmq.py",
    "compose/test_demo.py",
    "harness/test_faults.py",
    "compose/test_launch_docker.py",
    "benchmarks/test_command.py",
    "load/test_client_faults.py",
    "examples/test_pgnotify.py",
    "brokers/test_conformance_mqtt.py",
    "notebooks/test_notebooks.py",
    "harness/test_transports.py",
    "harness/test_cli.py",
    "ui/test_page.py",
    "harness/test_compare.py",
    "server/test_program.py",
    "brokers/test_conformance_redis.py",
    "server/test_bad_input.py",
    "rules/test_rules.py",
    "harness/test_report.py",
    "brokers/test_conformance_nats.py",
    "harness/test_choose.py",
    "truth/test_truth.py",
    "truth/test_programs.py",
    "load/test_locust.py",
    "harness/test_secrets.py",
    "harness/test_report_in_browser.py",
    "harness/test_capacity.py",
    "truth/test_mutations.py",
    "brokers/test_tls.py",
)

# Chromium gives up what it is connecting to when an address of the machine comes or goes, as Docker's networks do.
NEVER_SIDE_BY_SIDE = ("tests/compose/", "tests/ui/")


def pytest_collection_modifyitems(items):
    """Put the tests of `LONGEST` first, in its order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get("/".join(item.path.parts[-2:]), len(places)))


@pytest.hookimpl(optionalhook=True)  # the tests of tests/rules run tests without xdist
def pytest_xdist_make_scheduler(config, log):
    """Give a file to one process, and the files of `NEVER_SIDE_BY_SIDE` all to the same."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "networks" if nodeid.startswith(NEVER_SIDE_BY_SIDE) else super()._split_scope(nodeid)

    return Scheduler(config, log)
