"""Messages survive the way through text of bounded length."""

import pytest
from fanbench_pgnotify.notices import Joiner, channel_of, split


@pytest.mark.parametrize("payload", [b"", b"\0\xff", bytes(range(256)) * 256], ids=len)
@pytest.mark.parametrize("topic", ["", "größe-日本", "a" * 20_000], ids=len)
def test_a_message_arrives_as_it_was(topic, payload):
    joiner = Joiner()
    notifications = split(7, topic, payload)
    assert all(len(text) < 8_000 and text.isascii() for text in notifications)
    *before, last = [joiner.add(1, text) for text in notifications]
    assert before == [None] * len(before)
    assert last == (topic, payload)


def test_a_tail_and_a_strangers_notification_are_ignored_and_the_next_message_arrives():
    joiner = Joiner()
    big = split(1, "t", bytes(20_000))
    for text in (*big[1:], "hello", "1.x.2 y", "0.0.1 ???", big[0]):
        assert joiner.add(1, text) is None
    assert joiner.add(2, big[1]) is None, "a part of another sender's message"
    assert joiner.add(1, *split(2, "t", b"x")) == ("t", b"x")


def test_equal_messages_are_told_apart_and_topics_differ_by_case():
    assert split(1, "t", b"x") != split(2, "t", b"x")
    assert channel_of("t") != channel_of("T")
    assert len(channel_of("t" * 1_000).encode()) < 64
