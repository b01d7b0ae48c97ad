"""Broker URLs: taken apart, and never shown with their password."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.contenders import find_contender
from brokers.endpoint import BrokerError, parse_url, redact
from brokers.registry import open_endpoint
from core.errors import UsageError

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6379", ("redis", "127.0.0.1", 6379, None, None, "", {})),
        ("amqp://bob:p%40ss@host/my%2Fvhost", ("amqp", "host", None, "bob", "p@ss", "my/vhost", {})),
        ("mqtt://[::1]:1883?qos=1&buffer=9", ("mqtt", "::1", 1883, None, None, "", {"qos": "1", "buffer": "9"})),
        ("memory://", ("memory", "127.0.0.1", None, None, None, "", {})),
        ("redis://:p@h", ("redis", "h", None, "", "p", "", {})),
    ],
)
def test_parts(url, expected):
    found = parse_url(url, "at-most-once")
    assert expected == (
        found.scheme,
        found.host,
        found.port,
        found.username,
        found.password,
        found.path,
        found.options,
    )


@pytest.mark.parametrize("url", ["redis", "://x", "redis://h:0x1", "redis://h:99999", "//h", "redis:h"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UsageError, match="broker URL"):
        parse_url(url, "at-most-once")


@pytest.mark.parametrize("url", [f"amqp://u:{SECRET}@h:1/v", f"redis://:{SECRET}@h"])
def test_no_text_of_an_endpoint_shows_the_password(url):
    endpoint = parse_url(url, "at-most-once")
    error = BrokerError(endpoint, "connect", f"library said {SECRET} of {url}", "next")
    assert SECRET not in f"{redact(url)}{endpoint}{endpoint!r}{error}{error!r}"


def test_an_error_about_the_url_does_not_show_the_password():
    with pytest.raises(UsageError) as caught:
        parse_url(f"x://u:{SECRET}@h:bad", "at-most-once")
    assert SECRET not in str(caught.value)


UNESCAPED = [
    f"redis://user:{first}{second}@127.0.0.1:1"
    for first, second in itertools.product([SECRET, "", "1", "12/"], ["/" + SECRET, "#" + SECRET, "?" + SECRET + "=1"])
]


@pytest.mark.parametrize("url", [*UNESCAPED, f"redis://u:{SECRET}/x@[::1", f"redis://u:{SECRET}[@h", f"u:{SECRET}@h:1"])
def test_a_url_that_cannot_be_taken_apart_does_not_show_its_password(url):
    assert SECRET not in redact(url)
    for action in (lambda: parse_url(url, "at-most-once"), lambda: open_endpoint(url), lambda: find_contender(url)):
        with pytest.raises(UsageError) as caught:
            action()
        assert SECRET not in str(caught.value)


@given(text=st.text("u:/#?@[]%. \\é1", max_size=12), more=st.text("p:/#?@[]%. \\é1", max_size=12))
def test_no_password_however_odd_is_shown(text, more):
    url = f"amqp://user:{text}{SECRET}{more}@broker.example"
    assert SECRET not in redact(url)
    try:
        shown = str(parse_url(url, "at-most-once"))
    except UsageError as error:
        shown = str(error)
    assert SECRET not in shown


@pytest.mark.parametrize("word", ["results/a@b", "compare", "redis://h?stream=a%40b", "redis://user@h"])
def test_what_holds_no_password_is_shown_as_it_is(word):
    assert redact(word) == word


@given(password=st.text(st.characters(categories=["L", "N"]), min_size=4, max_size=20))
def test_any_password_is_hidden(password):
    url = f"amqp://somebody:{password}@broker.example/"
    assert redact(url) == "amqp://somebody:***@broker.example/"


@pytest.mark.parametrize("text", ["-1", "1.5", "", "ten", "٣"])
def test_an_option_that_is_no_number_is_named(text):
    endpoint = parse_url(f"redis://h?buffer={text}", "at-most-once")
    with pytest.raises(UsageError, match="buffer"):
        endpoint.whole_number("buffer", 5)


def test_a_missing_option_takes_its_default():
    endpoint = parse_url("redis://h", "at-most-once")
    assert (endpoint.whole_number("buffer", 5), endpoint.option("stream", "x")) == (5, "x")
