"""A contender that cannot be measured with a scenario is refused before the first run, or left out if nobody named it."""

import pytest

from brokers.contenders import find_contender
from core.errors import UsageError
from core.resources import resource_folder
from core.scenario import Scenario, load_scenario
from harness.analysis.slo import Slo
from harness.commands.capacity import capacity_command
from harness.runner.fitting import fitting, largest_event_bytes

TOKENS = load_scenario("tokens", resource_folder("scenarios"))
MEMORY, VALKEY, POSTGRES, OUTBOX = map(find_contender, ("memory", "valkey", "postgres", "postgres-outbox"))


@pytest.mark.parametrize(
    ("scenario", "unfit", "words"),
    [
        (TOKENS, MEMORY, "contender 'memory': it generates events in each replica, .* or leave it out"),
        (
            Scenario(payload_bytes=9_000),
            POSTGRES,
            "'postgres': an event has up to 9,000 bytes.* 7,999 at most; lower payload_bytes by 1,001",
        ),
        (Scenario(payload_bytes=7_990, stamp="compact"), POSTGRES, "up to 8,030 bytes"),
        (Scenario(payload_bytes=9_000), find_contender("postgresql://u:secret@127.0.0.1:5/db"), "7,999 at most"),
    ],
)
def test_a_named_contender_is_refused_and_another_one_left_out(scenario, unfit, words):
    with pytest.raises(UsageError, match=words):
        fitting([VALKEY, unfit], scenario, named=True)
    kept, left_out = fitting([VALKEY, unfit], scenario, named=False)
    assert kept == [VALKEY]
    assert len(left_out) == 1
    assert left_out[0].startswith(f"left out: {unfit.name}: ")
    with pytest.raises(UsageError, match=words):
        fitting([unfit], scenario, named=False)


@pytest.mark.parametrize("payload_bytes", [0, 200, 7_999])
def test_a_payload_that_fits_is_accepted(payload_bytes):
    scenario = Scenario(payload_bytes=payload_bytes)
    assert fitting([POSTGRES, OUTBOX, VALKEY], scenario, named=True) == ([POSTGRES, OUTBOX, VALKEY], [])


def test_contenders_without_a_limit_take_every_size():
    assert fitting([OUTBOX, VALKEY], Scenario(payload_bytes=1_048_576), named=True)[1] == []


def test_sessions_fit_into_a_notification():
    assert largest_event_bytes(TOKENS) < 200
    largest = TOKENS.model_copy(update={"topic_payload_bytes": (0, 4096), "stamp": "readable"})
    assert fitting([POSTGRES], largest, named=True)[1] == []


def test_compact_stamps_need_server_sent_events():
    with pytest.raises(UsageError, match=r"--transport ws: scenario 'tokens' has stamp = \"compact\""):
        fitting([VALKEY], TOKENS, ["sse", "ws"], named=True)


@pytest.mark.parametrize("axis", ["clients", "rate", "topics"])
def test_a_capacity_search_needs_a_load_that_it_can_raise(axis, tmp_path):
    with pytest.raises(UsageError, match=f"--vary {axis}: .* follows from topic_arrivals_hz; vary replicas"):
        capacity_command("valkey", axis, Slo.parse("lost=0"), TOKENS, tmp_path, False, 10.0)
    assert list(tmp_path.iterdir()) == []
