"""Messages as one frame: a mark, the topic, a NUL, the payload.

ZeroMQ passes a frame to those who subscribed to its beginning. The NUL makes the beginning a whole topic, so that `a`
does not match `ab`. The mark distinguishes a message from a subscription, which begins with 0 or 1.
"""

from __future__ import annotations

_MARK, _END = b"\x02", b"\0"
_SUBSCRIBE, _UNSUBSCRIBE = b"\1", b"\0"
MAX_TOPIC_BYTES = 65_536
"""fanbench's own limit: ZeroMQ has none."""


def name_of(topic: str) -> str:
    """A topic is its own name.

    Raises:
        ValueError: it contains a NUL.
    """
    if "\0" in topic:
        raise ValueError("it has a NUL, which ends a topic on the way")
    return topic


def pack(topic: str, payload: bytes) -> bytes:
    """The frame of a message."""
    return _MARK + topic.encode() + _END + payload


def unpack(frame: bytes) -> tuple[str, bytes]:
    """Topic and payload.

    Raises:
        ValueError: it is not our message.
    """
    name, end, payload = frame[1:].partition(_END)
    if not is_message(frame) or not end:
        raise ValueError("no message")
    return name.decode(), payload


def is_message(frame: bytes) -> bool:
    """Whether the frame is a message, not a subscription."""
    return frame[:1] == _MARK


def subscription(topic: str) -> bytes:
    """The frame that subscribes to a topic."""
    return _SUBSCRIBE + _MARK + topic.encode() + _END


def unsubscription(topic: str) -> bytes:
    """The frame that ends a subscription."""
    return _UNSUBSCRIBE + _MARK + topic.encode() + _END
