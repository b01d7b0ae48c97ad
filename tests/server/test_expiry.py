"""Histories expire by and by, whatever the number of topics."""

from server.expiry import TOPICS, Expiry
from server.history import HistoryBound
from server.hub import Hub
from tests.server.made_up import event, make_hub

NAMES = [f"t{number}" for number in range(4 * TOPICS)]
BOUND = HistoryBound(100, 10**9, 10**9)
LATER_NS = 10**19


def hub_with_an_event_in_each_topic() -> Hub:
    hub = make_hub(NAMES, BOUND)
    for name in NAMES:
        hub.accept(name, event("s", 0, name, sent_ns=2 * 10**18))  # of a clock that is years ahead
    return hub


async def test_a_tick_expires_a_bounded_number_of_histories_and_all_have_their_turn() -> None:
    hub, expiry = hub_with_an_event_in_each_topic(), Expiry()
    held, freed = hub.history_bytes, 0
    for tick in range(1, 5):
        freed += expiry.tick(hub.topics, LATER_NS)
        assert sum(len(topic.history) == 0 for topic in hub.topics.values()) == tick * TOPICS
    assert freed == held
    assert expiry.tick(hub.topics, LATER_NS) == 0


async def test_a_topic_that_was_closed_meanwhile_frees_nothing_twice() -> None:
    hub, expiry = hub_with_an_event_in_each_topic(), Expiry()
    hub.history_bytes -= expiry.tick(hub.topics, LATER_NS)
    for name in NAMES:
        hub.close_topic(name)
    assert hub.history_bytes == 0
    assert sum(expiry.tick(hub.topics, LATER_NS) for _ in range(4)) == 0
