"""Topics as brokers know them: different topics stay different, and no character is a wildcard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.mqtt_names import mqtt_topic
from brokers.nats_subjects import subject_of

TOPICS = st.text(st.sampled_from("ab./%*+#>$ \t\x85\uffffä"), min_size=1, max_size=8)


@pytest.mark.parametrize("name_of", [mqtt_topic, subject_of])
@given(one=TOPICS, other=TOPICS)
def test_different_topics_have_different_names(name_of, one, other):
    assert (name_of(one) == name_of(other)) == (one == other)


@given(topic=TOPICS)
def test_no_mqtt_name_has_a_special_meaning(topic):
    name = mqtt_topic(topic)
    assert not set("+#*.> \t\x85\uffff") & set(name)
    assert not name.startswith("$")


def test_a_topic_of_many_levels_is_one_that_mosquitto_accepts():
    deep = "/" * 199
    assert mqtt_topic(deep) == deep
    assert mqtt_topic(f"{deep}/") == "%2F" * 200


@given(topic=TOPICS)
def test_every_subject_is_valid_and_plain(topic):
    subject = subject_of(topic)
    assert all(token and not set("*> \t") & set(token) for token in subject.split("."))


@pytest.mark.parametrize("topic", ["events", "room-17", "a.b", "größe"])
def test_plain_topics_keep_their_name_in_nats(topic):
    assert subject_of(topic) == topic
