"""What the generator reports at its end about events that a service did not accept."""

import pytest

from core.contracts.measures import PhaseCounts
from core.errors import TransientError
from generator.acceptance import require_accepted
from generator.settings import GeneratorSettings
from tests.core.contracts.made_up import generator_report

HTTP = GeneratorSettings(publish="POST http://127.0.0.1:81/x")
PUBLISHED = {"a": PhaseCounts(warmup=1, measure=2), "b": PhaseCounts(warmup=0, measure=1)}


def report(**failures):
    return generator_report(published=PUBLISHED, failed=sum(failures.values()), failures=failures)


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("status 401", "give credentials with --header"),
        ("status 404", "is that the path for publishing"),
        ("not connected", "is the service running there?"),
        ("status 500", "see the service's log"),
    ],
)
def test_a_service_that_accepted_nothing_ends_the_generator_with_the_reason_and_what_to_do(reason, step):
    with pytest.raises(
        TransientError, match="POST http://127.0.0.1:81/x: none of 4 events was accepted: 4 x " + reason
    ) as told:
        require_accepted(HTTP, report(**{reason: 4}))
    assert step in str(told.value)


def test_refused_events_are_reported_at_the_end(caplog):
    require_accepted(HTTP, report(**{"status 429": 2, "connection lost before the answer": 1}))
    (told,) = caplog.messages
    assert told.startswith(
        "3 of 4 events were not accepted: 1 x connection lost before the answer, 2 x status 429; lower --rate-hz"
    )


def test_nothing_is_reported_about_accepted_events_or_a_broker(caplog):
    require_accepted(HTTP, report())
    require_accepted(GeneratorSettings(), report(**{"connection lost": 4}))
    assert caplog.messages == []
