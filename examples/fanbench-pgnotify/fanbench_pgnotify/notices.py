"""A message as PostgreSQL can carry it: text of less than 8,000 bytes, on a channel whose name is at most 63 long."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import blake2b

PART_CHARS = 7_900
"""Of 7,999 that a notification may have; the rest is for what stands before each part."""
_LENGTH_BYTES = 4
MAX_TOPIC_BYTES = 65_536
"""A topic travels in the message, in as many parts as it needs: PostgreSQL itself sets no limit."""


def channel_of(topic: str) -> str:
    """A topic's channel: a hash, because a topic may be longer than a name, and hold what a name cannot.

    Raises:
        ValueError: it is longer than MAX_TOPIC_BYTES, or no text that UTF-8 has.
    """
    size = len(topic.encode())
    if size > MAX_TOPIC_BYTES:
        raise ValueError(f"{size} bytes of UTF-8, and the longest topic has {MAX_TOPIC_BYTES}")
    return f"fanbench_{blake2b(topic.encode(), digest_size=16).hexdigest()}"


def split(number: int, topic: str, payload: bytes) -> list[str]:
    """The notifications that carry a message: `NUMBER.PART.PARTS TEXT`, the texts together one base64.

    `number` must differ between messages of one transaction: of equal notifications PostgreSQL delivers one. It is
    base64 because it must be text in whatever encoding the database has.
    """
    name = topic.encode()
    text = b64encode(len(name).to_bytes(_LENGTH_BYTES, "big") + name + payload).decode()
    texts = [text[start : start + PART_CHARS] for start in range(0, len(text), PART_CHARS)]
    return [f"{number}.{part}.{len(texts)} {text}" for part, text in enumerate(texts)]


class Joiner:
    """Puts messages together again, on one connection.

    One message is enough to remember: its parts are sent in one transaction, and PostgreSQL delivers transactions one
    after the other. Who begins to listen gets a transaction whole or not at all, so a part without those before it is
    one that asyncpg dropped before the subscription stood, and is of no interest.
    """

    def __init__(self) -> None:
        self._of: tuple[int, str] | None = None
        self._texts: list[str] = []

    def add(self, sender: int, notification: str) -> tuple[str, bytes] | None:
        """Topic and payload, once the last part is here; None before, and for what is no part of a message.

        `sender` is the server process that the notification came from.
        """
        try:
            head, text = notification.split(" ")
            number, part, parts = head.split(".")
            if int(part) == 0:
                self._of, self._texts = (sender, number), []
            if self._of != (sender, number) or len(self._texts) != int(part):
                return None
            self._texts.append(text)
            if len(self._texts) < int(parts):
                return None
            data = b64decode("".join(self._texts), validate=True)
            end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
            return data[_LENGTH_BYTES:end].decode(), data[end:]
        except ValueError:  # somebody else's notification on a channel of ours
            return None
