"""Broker URLs are parsed, and never shown with their password."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.contenders import find_contender
from brokers.endpoint import MAX_TOPIC_BYTES, RUN_NAME, Address, parse_url, redact
from brokers.errors import BrokerError
from brokers.options import text, whole_number
from brokers.redaction import hide
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
def test_an_invalid_url_is_refused(url):
    with pytest.raises(UsageError, match="broker URL"):
        parse_url(url, "at-most-once")


@pytest.mark.parametrize("url", [f"amqp://u:{SECRET}@h:1/v", f"redis://:{SECRET}@h"])
def test_the_text_of_an_endpoint_hides_the_password(url):
    endpoint = parse_url(url, "at-most-once")
    error = BrokerError(endpoint, "connect", f"library said {SECRET} of {url}")
    assert SECRET not in f"{redact(url)}{endpoint}{endpoint!r}{error}{error!r}"


def test_an_error_about_the_url_does_not_show_the_password():
    with pytest.raises(UsageError) as caught:
        parse_url(f"x://u:{SECRET}@h:bad", "at-most-once")
    assert SECRET not in str(caught.value)


UNESCAPED = [
    f"redis://user:{first}{second}@127.0.0.1:1"
    for first, second in itertools.product([SECRET, "", "1", "12/"], ["/" + SECRET, "#" + SECRET, "?" + SECRET + "=1"])
]


@pytest.mark.parametrize("url", [*UNESCAPED, f"redis://u:{SECRET}/x@[::1", f"u:{SECRET}@h:1"])
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


@pytest.mark.parametrize(
    "name", ["password", "PASSWORD", "sentinel_password", "token", "client_secret", "p%61ssword", "nkey", "jwt"]
)
def test_every_secret_option_is_hidden_however_its_name_is_written(name):
    url = f"redis://h:1/0?db=1&{name}={SECRET}'x&stream=s"
    assert redact(url) == f"redis://h:1/0?db=1&{name}=***&stream=s"
    assert SECRET not in hide(f"cannot connect to {url.replace(chr(39), '')} now", ())


@pytest.mark.parametrize("word", ["results/a@b", "compare", "redis://h?stream=a%40b", "redis://user@h"])
def test_what_holds_no_password_is_shown_as_it_is(word):
    assert redact(word) == word


@given(password=st.text(st.characters(categories=["L", "N"]), min_size=4, max_size=20))
def test_any_password_is_hidden(password):
    url = f"amqp://somebody:{password}@broker.example/"
    assert redact(url) == "amqp://somebody:***@broker.example/"


@pytest.mark.parametrize("text", ["-1", "1.5", "", "ten", "٣"])
def test_an_option_that_is_not_a_number_is_named(text):
    with pytest.raises(UsageError, match=r"option buffer=.* is not a whole number from 0 on; give whole number"):
        open_endpoint(f"redis://h?buffer={text}")


def test_a_missing_option_takes_its_default():
    endpoint = parse_url("redis://h", "at-most-once")
    assert (endpoint.get(whole_number("buffer", "", 5)), endpoint.get(text("stream", "", "x"))) == (5, "x")


@pytest.mark.parametrize(
    ("url", "port", "expected"),
    [
        ("nats://a,b:4223,c", 4222, [("a", 4222), ("b", 4223), ("c", 4222)]),
        ("amqp://u:p@A.example,b/vhost", 5672, [("a.example", 5672), ("b", 5672)]),
        ("mqtt://[::1],[fe80::1%25eth0]:99", 1883, [("::1", 1883), ("fe80::1%eth0", 99)]),
        ("redis://", 6379, [("127.0.0.1", 6379)]),
        ("unix:///run/my%20redis.sock?db=0", None, [("/run/my redis.sock", None)]),
        ("redis+unix://u:p@/run/redis.sock", 6379, [("/run/redis.sock", None)]),
    ],
)
def test_hosts(url, port, expected):
    endpoint = parse_url(url, "at-most-once", port)
    assert [(one.host, one.port) for one in endpoint.hosts] == expected
    assert (endpoint.host, endpoint.port) == expected[0]
    last = endpoint.at(endpoint.hosts[-1])
    assert (last.host, last.port) == expected[-1]
    assert endpoint.hosts[0].is_path is ("unix" in url)


def test_an_address_is_written_as_it_is_dialled():
    assert [str(one) for one in (Address("::1", 5), Address("h", 5), Address("/a.sock"))] == [
        "[::1]:5",
        "h:5",
        "/a.sock",
    ]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nats://a,,b", "a host or port is invalid"),
        ("nats://a,b:0", "a host or port is invalid"),
        ("nats://[::1", "a host or port is invalid"),
        ("nats://::1", "a host or port is invalid"),
        ("redis+unix://host/run.sock", "names no socket"),
        ("redis://h?buffer=1&buffer=2", "'buffer' is given twice"),
        ("redis://h/0#x", "has a #"),
    ],
)
def test_an_invalid_place_is_named(url, says):
    with pytest.raises(UsageError, match=says):
        parse_url(url, "at-most-once")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://s3cretT0ken@h", "nats://***@h"),
        ("nats+js://s3cretT0ken@a,b/x", "nats+js://***@a,b/x"),
        ("nats://u:p@h", "nats://u:***@h"),
        ("redis://u:x@xylophone/x", "redis://u:***@xylophone/x"),
        ("redis://h?password=abc&stream=s", "redis://h?password=***&stream=s"),
        ("nats://h?token=abc&nkey=SUA&buffer=1", "nats://h?token=***&nkey=***&buffer=1"),
        ("redis://h?password_file=/run/secret", "redis://h?password_file=/run/secret"),
    ],
)
def test_secrets_are_hidden_by_position(url, shown):
    assert redact(url) == shown
    assert str(parse_url(url, "at-most-once")) == shown


def test_a_password_of_one_letter_is_hidden_without_mangling_words():
    endpoint = parse_url("redis://user:o@host", "at-most-once")
    said = "no route to host redis://user:o@host:1, wrong password 'o'"
    assert endpoint.hide_secrets(said) == "no route to host redis://***@host:1, wrong password '***'"


def test_a_token_is_hidden_in_a_librarys_words():
    endpoint = parse_url("nats://s3cretT0ken@h", "at-most-once")
    assert endpoint.hide_secrets("token s3cretT0ken is bad") == "token *** is bad"


@pytest.mark.parametrize("content", [f"{SECRET}\nsecond line\n", SECRET, f"{SECRET}\r\n", f"\ufeff{SECRET}\n"])
def test_a_password_from_a_file(tmp_path, content):
    path = tmp_path / "password"
    path.write_text(content, newline="")
    for found in (
        open_endpoint(f"redis://u@h?password_file={path}")[1],
        open_endpoint("redis://u@h", None, str(path))[1],
    ):
        assert found.password == SECRET
        assert SECRET not in f"{found}{found!r}{BrokerError(found, 'connect', f'said {SECRET}')}"


@pytest.mark.parametrize(
    ("url", "content", "says"),
    [
        ("redis://u@h", None, "No such file"),
        ("redis://u@h", "", "first line is empty"),
        ("redis://u@h", "\nx", "first line is empty"),
        ("redis://u@h", "p\udcff", "not UTF-8"),
        ("redis://u:p@h", SECRET, "leave one out"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_named(tmp_path, url, content, says):
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content, errors="surrogateescape")
    with pytest.raises(UsageError, match=says) as caught:
        open_endpoint(f"{url}?password_file={path}")
    assert "password_file=" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_names_begin_with_the_runs_and_the_place_has_no_secret():
    plain, run = (parse_url(f"amqp://u:{SECRET}@a,b:1/v{more}", "at-most-once") for more in ("", "?run_name=r-7"))
    assert (plain.prefix, run.prefix) == ("fanbench", "r-7")
    assert run.get(RUN_NAME) == "r-7"
    assert plain.place == run.place == "amqp://a,b:1/v"


@pytest.mark.parametrize("option", ["run_name=a.b", "run_name=", f"{MAX_TOPIC_BYTES.name}=0", "qos=2", "buffer=x"])
def test_a_value_that_cannot_be_used_is_refused_before_anything_connects(option):
    with pytest.raises(UsageError, match=f"option {option.partition('=')[0]}="):
        open_endpoint(f"mqtt://h?{option}")
