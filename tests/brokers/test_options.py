"""Options are declared once: their kind parses values, and the docs' table is generated from them."""

from pathlib import Path

import pytest

from brokers.endpoint import parse_url
from brokers.options import choice, file, flag, seconds, text, whole_number, word
from brokers.options_table import with_table
from brokers.registry import open_endpoint, registry
from core.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs" / "brokers.md"


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        (text("o", ""), "a b", "a b"),
        (file("o_file", ""), "/etc/x+y.pem", "/etc/x+y.pem"),
        (whole_number("o", "", 5, 1), "1", 1),
        (seconds("o", "", 5.0), "0.5", 0.5),
        (flag("o", ""), "true", True),
        (choice("o", "", ("a", "b")), "b", "b"),
    ],
)
def test_values(option, given, value):
    from urllib.parse import quote

    assert parse_url(f"x://h?{option.name}={quote(given)}", "").get(option) == value
    assert parse_url("x://h", "").get(option) == option.default


@pytest.mark.parametrize(
    ("option", "given", "says"),
    [
        (text("o", ""), "", "is empty; give text"),
        (whole_number("o", "", 5, 1), "0", "is not a whole number from 1 on; give whole number, for instance 5"),
        (seconds("o", "", 5.0, 1.0), "nan", "is not a number of seconds from 1 on"),
        (seconds("o", "", 5.0), "inf", "is not a number of seconds"),
        (whole_number("o", "", 5), "9" * 17, "is over 9007199254740992"),
        (whole_number("o", "", 5), "9" * 5000, "is over 9007199254740992"),
        (word("o", "", "[a-z]+", "of letters"), "a.b", "is not of letters; give text"),
        (flag("o", ""), "yes", "is neither true nor false"),
        (choice("o", "", ("least", "most")), "leasd", "did you mean 'least'"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(option, given, says):
    with pytest.raises(UsageError, match=says) as caught:
        parse_url(f"x://u:hunter2@h?o={given}", "").get(option)
    assert f"option o={given!r}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_table_in_the_docs_is_the_adapters():
    words = "run: .venv/bin/python -m brokers.options_table"
    assert with_table(PAGE.read_text(encoding="utf-8")) == PAGE.read_text(encoding="utf-8"), words


def test_a_path_is_recognized_by_its_name():
    with pytest.raises(ValueError, match="must end in _file"):
        file("o", "")


def test_no_adapter_declares_an_option_twice():
    for adapter in registry().adapters():
        names = [option.name for option in adapter.options]
        assert len(names) == len(set(names)), adapter.name


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h?ca_file=/ca.pem", r"'ca_file' has no meaning without TLS; write rediss://"),
        ("mqtt+ws://h?server_name=n", r"'server_name' has no meaning without TLS; write .*mqtt\+wss://"),
        ("nats://h?cert_file=/c.pem", r"'cert_file' has no meaning without TLS; write nats\+tls://"),
    ],
)
def test_a_tls_option_is_refused_if_nothing_would_be_encrypted(url, says):
    with pytest.raises(UsageError, match=says):
        open_endpoint(url)


@pytest.mark.parametrize("scheme", ["rediss", "amqps", "mqtt+wss", "nats+js+tls"])
def test_a_tls_option_is_accepted_with_a_tls_scheme(scheme):
    assert open_endpoint(f"{scheme}://h?server_name=n")[1].options["server_name"] == "n"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "nats+js://h?stream=a.b",
            "nats+js://h?stream=a%20b",
            "nats+js://h?subject=a.>",
            "nats+js://h?subject=a%0D%0APUB",
        ),
        *("nats+js://h?domain=a.b", "nats://h?inbox_prefix=a.", "nats://h?inbox_prefix=*"),
        *("mqtt://h?qos=1&session_expiry_s=4294967296", "amqp://h?heartbeat=65536"),
    ],
)
def test_a_value_too_large_for_the_protocol_is_refused_before_anything_connects(url):
    with pytest.raises(UsageError, match=r"option \w+=.* is (not|over) "):
        open_endpoint(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nats://127.0.0.1:1/vhost", "path 'vhost' has no meaning with nats://"),
        ("nats+js://127.0.0.1:1/vhost", "path 'vhost' has no meaning"),
        ("mqtt://127.0.0.1:1/mqtt", "path 'mqtt' has no meaning with mqtt://"),
        ("redis://127.0.0.1:1/3?db=5", "both name a database"),
        ("redis+streams://127.0.0.1:1/3?db=3", "both name a database"),
    ],
)
async def test_a_part_that_would_be_ignored_is_refused(url, says):
    adapter, endpoint = open_endpoint(url)
    for side in (adapter.producer, adapter.consumer):
        with pytest.raises(UsageError, match=says):
            async with side(endpoint):
                pass
