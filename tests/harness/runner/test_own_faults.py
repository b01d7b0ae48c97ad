"""The fault `deployment-break`: whatever the user's command broke is mended, however the run ends."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from brokers.registry import open_endpoint
from core.clock import ClockWatch
from core.errors import FanbenchError, TransientError
from core.fault import Fault
from core.scenario import Scenario
from harness.runner.deployment import parse_deployment
from harness.runner.faults import Timeline
from harness.runner.own_commands import TIMEOUT_S, run_command
from harness.runner.run import _break
from tests.waiting import wait_until

pytestmark = pytest.mark.subprocess
ENDPOINT = open_endpoint("nats://127.0.0.1:1")[1]
ENDED = TransientError("Locust ended")


@pytest.fixture
def make(tmp_path):
    """Makes the testbed of a run whose deployment is broken and mended by these commands, in the folder `tmp_path`."""

    def testbed(breaking, mending="echo mended >> did", lasting_s=60.0):
        fault = Fault(kind="deployment-break", at_s=0.0, for_s=lasting_s)
        inside = f"cd {tmp_path} && "
        deployment = parse_deployment("http://a:1", "", None, "", "", "", inside + breaking, inside + mending)
        return SimpleNamespace(
            scenario=Scenario(name="faults", faults=(fault,), duration_s=0.1),
            deployment=deployment,
            run_own=partial(run_command, settings={}, endpoint=ENDPOINT, log=tmp_path / "log"),
            load=SimpleNamespace(tell=lambda order: None, out=tmp_path / "out"),
            generators=[],
            alive=list,
        )

    return testbed


def did(folder):
    path = Path(folder) / "did"
    return path.read_text().split() if path.exists() else []


def begun(testbed):
    """The timeline of the testbed's fault, which has begun."""
    timeline = Timeline(testbed.scenario.faults, testbed)
    assert not timeline.step()
    return timeline


def test_a_run_that_ends_early_is_mended(make, tmp_path):
    testbed = make("echo broken >> did")

    def ended():
        if did(tmp_path):
            raise ENDED
        return []

    testbed.alive = ended
    said = []
    with pytest.raises(TransientError, match="Locust ended"):
        _break(testbed, ClockWatch(), said.append)
    assert did(tmp_path) == ["broken", "mended"]
    assert said == ["running --mend"]


def test_what_was_mended_in_time_is_not_mended_again(make, tmp_path):
    testbed = make("echo broken >> did", lasting_s=0.0)
    timeline = Timeline(testbed.scenario.faults, testbed)
    wait_until(lambda: timeline.step() or did(tmp_path) == ["broken", "mended"], "it is mended")
    timeline.abandon(ENDED, print)
    assert did(tmp_path) == ["broken", "mended"]


def test_a_command_that_fails_halfway_is_mended(make, tmp_path):
    testbed = make("{ echo half >> did; echo no such pod >&2; exit 3; }")
    with pytest.raises(FanbenchError, match="--break: the command ended with exit code 3: no such pod"):
        begun(testbed)
    assert did(tmp_path) == ["half", "mended"]


def test_if_mending_fails_too_both_are_told(make):
    with pytest.raises(FanbenchError, match=r"--break: .* exit code 3.*; then --mend: .* exit code 4"):
        begun(make("exit 3", "exit 4"))


def test_ctrl_c_stays_an_interrupt_and_says_what_is_still_broken(make):
    timeline = begun(make("true", "exit 4"))
    with pytest.raises(KeyboardInterrupt, match="--mend: the command ended with exit code 4"):
        timeline.abandon(KeyboardInterrupt(), print)


def test_the_users_commands_may_take_their_time(make):
    timeline = Timeline(make("true").scenario.faults, make("true"))
    assert timeline.longest_s >= 60 + 2 * TIMEOUT_S
