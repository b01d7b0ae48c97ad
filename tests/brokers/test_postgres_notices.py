"""A payload survives PostgreSQL's notification, which is text of limited length, and text stays readable for others."""

import pytest

from brokers.postgres_notices import MAX_PAYLOAD_BYTES, TooLongError, another_text_of, channel_of, payload_of, text_of


@pytest.mark.parametrize(
    "payload",
    [b"", b'{"a":1}', "größe-日本".encode(), b"\0", b"\xff" * MAX_PAYLOAD_BYTES, b"\x01", b"\x01:YQ==", b"x" * 7_999],
    ids=lambda payload: f"{payload[:8]!r} {len(payload)}",
)
def test_a_payload_arrives_unchanged(payload):
    text = text_of(payload)
    assert len(text.encode()) < 8_000
    assert "\0" not in text
    assert payload_of(text) == payload


def test_text_is_sent_unchanged_so_that_any_client_can_read_it():
    assert text_of(b'{"seq":1}') == '{"seq":1}'
    assert payload_of("from psql") == b"from psql"


@pytest.mark.parametrize("payload", [b"x" * 8_000, b"\xff" * (MAX_PAYLOAD_BYTES + 1)], ids=["text", "binary"])
def test_a_payload_over_the_limit_is_reported_with_both_sizes(payload):
    with pytest.raises(TooLongError, match=rf"{len(payload):,} bytes.*takes 7,999"):
        text_of(payload)


def test_a_foreign_text_with_the_base64_mark_is_skipped():
    with pytest.raises(ValueError, match=r"base64|padding"):
        payload_of("\x01:not base64!")


def test_a_topic_with_nul_is_not_a_channel():
    with pytest.raises(ValueError, match="NUL"):
        channel_of("a\0b")


@pytest.mark.parametrize("payload", [b"", b"text", b"\xff"])
def test_equal_payloads_are_sent_as_different_texts(payload):
    texts = [text_of(payload), *(another_text_of(text_of(payload), number) for number in range(1, 100))]
    assert len(set(texts)) == 100
    assert {payload_of(text) for text in texts} == {payload}
    assert another_text_of("x" * 6_000, 1) is None, "base64 of it would be over the bound"
