"""A frame carries any payload under any topic, and its beginning is unique to the topic."""

import pytest
from fanbench_zmq.wire import is_message, name_of, pack, subscription, unpack, unsubscription


@pytest.mark.parametrize("payload", [b"", b"\0\xff", bytes(range(256)) * 256], ids=len)
@pytest.mark.parametrize("topic", ["t", "größe-日本"])
def test_a_message_arrives_unchanged(topic, payload):
    assert unpack(pack(topic, payload)) == (topic, payload)


def test_a_subscription_is_to_a_whole_topic_and_no_message():
    wanted = subscription("a")[1:]
    assert pack("a", b"x").startswith(wanted)
    assert not pack("ab", b"x").startswith(wanted)
    assert not is_message(subscription("a"))
    assert not is_message(unsubscription("a"))


def test_a_foreign_text_is_refused():
    for frame in (b"", b"hello", b"\x02no end", subscription("a")):
        with pytest.raises(ValueError, match="no message"):
            unpack(frame)
    with pytest.raises(ValueError, match="NUL"):
        name_of("a\0b")
