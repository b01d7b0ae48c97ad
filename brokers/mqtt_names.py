"""Topics as names of MQTT."""

from __future__ import annotations

import re

from brokers.endpoint import Endpoint
from brokers.topic_names import TopicNames

MAX_TOPIC_BYTES = 65_535
"""The length of a string is two bytes."""
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    map(chr, (plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)))
)
_SPECIAL = re.compile(rf"[+#*.%>\s\x00-\x1f\x7f-\x9f{_NONCHARACTERS}]|^\$")
_MAX_SLASHES = 199
"""Mosquitto closes the connection of a client that names a topic of more than 200 levels."""


def mqtt_topic(topic: str) -> str:
    """Return the same word, with percent codes for characters that have a meaning in MQTT, or that it advises against.

    Mosquitto closes the connection for control characters and noncharacters; nats-server refuses blanks and treats `>` as
    its own wildcard. `.` and `*` get codes too: RabbitMQ converts `/` and `+` to them and back, so `a.b` and `a/b` would be
    one topic.
    """
    name = _SPECIAL.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), topic)
    return name.replace("/", "%2F") if name.count("/") > _MAX_SLASHES else name


def topic_names(endpoint: Endpoint) -> TopicNames:
    """Topics as MQTT topics without wildcards."""
    return TopicNames(endpoint, MAX_TOPIC_BYTES, mqtt_topic)
