"""MQTT brokers, provoked."""

from __future__ import annotations

from brokers.conformance.provocations import Pending, Provocations

PROVOCATIONS = {name: Provocations() for name in ("mosquitto", "mosquitto-qos1", "nats-mqtt", "rabbitmq-mqtt")}

_LATER = frozenset(
    {
        "test_forbidden_topic_harms_no_other",
        "test_vanished_consumer_is_noticed",
        "test_not_here_any_more",
        "test_clean_up_leaves_nothing",
    }
)
PENDING: Pending = dict.fromkeys(PROVOCATIONS, _LATER)
